//! Kademlia tables and lookups; see [`hyperspace_benches::kad`].

use criterion::{Criterion, criterion_group, criterion_main};
use hyperspace_benches::Subject;

mod shared;

fn kad(criterion: &mut Criterion) {
    shared::time(criterion, Subject::Kad, Vec::new());
}

criterion_group!(benches, kad);
criterion_main!(benches);
