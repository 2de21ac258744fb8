//! Signed envelopes; see [`hyperspace_benches::envelope`].

use criterion::{Criterion, criterion_group, criterion_main};
use hyperspace_benches::Subject;

mod shared;

fn envelope(criterion: &mut Criterion) {
    shared::time(criterion, Subject::Envelope, Vec::new());
}

criterion_group!(benches, envelope);
criterion_main!(benches);
