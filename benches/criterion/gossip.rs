//! Events per second of whole simulations; see [`hyperspace_benches::gossip`].

use criterion::{Criterion, criterion_group, criterion_main};
use hyperspace_benches::Subject;

mod shared;

fn gossip(criterion: &mut Criterion) {
    shared::time(criterion, Subject::Gossip, Vec::new());
}

criterion_group!(benches, gossip);
criterion_main!(benches);
