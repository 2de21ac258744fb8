//! From the cases of a subject to criterion's benches.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use hyperspace_benches::{Case, Effort, Subject, Unit};

/// Times all cases of a subject, and `others` after them.
pub(crate) fn time(criterion: &mut Criterion, subject: Subject, others: Vec<Case>) {
    let mut group = criterion.benchmark_group(subject.name());
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for case in subject.cases(Effort::Full).iter().chain(&others) {
        let id = match case.n {
            Some(n) => BenchmarkId::new(&case.what, n),
            None => BenchmarkId::from_parameter(&case.what),
        };
        // Made when criterion first runs it, which it does not if it was filtered out.
        let mut run = None;
        if subject.unit() == Unit::EventsPerSecond {
            // An iteration is a whole run: how many events it has shows only when it is done.
            let events = run.get_or_insert_with(|| case.make())(1).ops;
            group.throughput(Throughput::Elements(events));
        }
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|times| run.get_or_insert_with(|| case.make())(times).time);
        });
    }
    group.finish();
}
