//! The judge against nodes that are known: the reference, some mutants and some legal variants.

use hyperspace_conformance::case::Case;
use hyperspace_conformance::cases::shipped;
use hyperspace_conformance::verdict::Exit;
use hyperspace_conformance_selftest::reference::Reference;
use hyperspace_conformance_selftest::trial::judge;
use hyperspace_conformance_selftest::{Options, mutant, run, tolerance};

fn cases() -> Vec<Case> {
    shipped().expect("the cases that come with the judge can be read")
}

#[test]
fn the_reference_is_without_fault() {
    let judgement = judge(&cases(), &mut Reference::new(1), 1);
    assert_eq!(judgement.faults, []);
    assert_eq!(judgement.exit, Exit::Conformant, "{}", judgement.message);
    // Nothing but frames is out of reach.
    let unmade: Vec<_> = judgement.untestable.iter().filter(|fault| !fault.why.contains("frames")).collect();
    assert!(unmade.is_empty(), "{unmade:?}");
}

#[test]
fn one_seed_makes_one_transcript_and_the_order_of_cases_makes_no_difference() {
    let cases = cases();
    let first = judge(&cases, &mut Reference::new(7), 7);
    let again = judge(&cases, &mut Reference::new(7), 7);
    assert_eq!(first.transcript, again.transcript);
    let otherwise = judge(&cases, &mut Reference::new(7), 8);
    assert_ne!(first.transcript, otherwise.transcript, "the cases come in another order");
    assert_eq!((first.faults, first.counts), (otherwise.faults, otherwise.counts));
}

#[test]
fn mutants_of_every_kind_are_found_out() {
    let options = |only: &str| Options { only: Some(only.to_owned()), ..Options::default() };
    let cases = cases();
    for only in [
        "state/value-",
        "guard/consume",
        "guard.checkBudget.allowed",
        "memory/list-",
        "recursive/trace-",
        "learning/feedback-",
        "improving/curate-",
        "micropayments/nonce-",
        "transport/id-n",
        "/code-32602",
    ] {
        let report = run(&cases, &options(only));
        assert!(!report.mutants.is_empty(), "{only}");
        assert!(report.killed() * 100 >= report.mutants.len() * 80, "{only}:\n{report}");
        assert_eq!(report.killed(), report.attributed(), "{only}:\n{report}");
    }
}

#[test]
fn what_the_text_leaves_open_is_not_held_against_anybody() {
    let report = run(&cases(), &Options { only: Some("tolerance/o".to_owned()), ..Options::default() });
    assert!(report.variants.len() > 8 && report.mutants.is_empty());
    for variant in &report.variants {
        assert_eq!(variant.failures, [], "{}", variant.id);
    }
}

#[test]
fn every_node_has_a_name_and_says_what_it_does() {
    let ids = mutant::all().into_iter().map(|mutant| (mutant.id, mutant.says));
    for (id, says) in ids.chain(tolerance::all().into_iter().map(|variant| (variant.id, variant.says))) {
        assert!(id.contains('/') && says.len() > 8, "{id}: {says}");
    }
}
