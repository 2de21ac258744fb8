//! Puts the judge on trial by hand:
//!
//! * `trial [PART]`: the reference, the mutants and the legal variants, all or those whose id has PART in it
//! * `trial --reference`: what is not PASS for the reference
//! * `trial --show NODE CASE`: the transcript of a case, or of all whose ids have CASE in them, with a mutant or variant

use std::process::ExitCode;

use hyperspace_conformance::cases::shipped;
use hyperspace_conformance::events::Event;
use hyperspace_conformance::suite::{self, Plan};
use hyperspace_conformance::target::Target;
use hyperspace_conformance_selftest::{Options, mutant, reference::Reference, run, tolerance, trial::judge};

fn node(id: &str) -> Option<Box<dyn Target>> {
    if id == "reference" {
        return Some(Box::new(Reference::new(1)));
    }
    if let Some(mutant) = mutant::find(id) {
        return Some(Box::new(mutant.target(1)));
    }
    tolerance::all().into_iter().find(|variant| variant.id == id).map(|variant| variant.target(1))
}

fn show(id: &str, part: &str) -> ExitCode {
    let Some(mut target) = node(id) else {
        eprintln!("there is no node {id}");
        return ExitCode::from(2);
    };
    let cases: Vec<_> =
        shipped().unwrap_or_default().into_iter().filter(|case| case.id.contains(part)).collect();
    let mut events: Vec<Event> = Vec::new();
    suite::run(&cases, &Plan::default(), &mut *target, &mut events);
    for event in events {
        match event {
            Event::Step(step) => {
                println!("{} {} {} {}", step.case, step.direction, step.connection, step.text)
            }
            Event::Check(check) => {
                println!(
                    "{} {}: {} {} {}",
                    check.verdict, check.id, check.expected, check.actual, check.reason
                );
            }
            Event::Footer(footer) => println!("{}", footer.message),
            Event::Header(_) | Event::Case(_) => {}
        }
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let cases = match shipped() {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(5);
        }
    };
    match words.as_slice() {
        ["--show", id, part] => return show(id, part),
        ["--reference"] => {
            let judgement = judge(&cases, &mut Reference::new(1), 1);
            for fault in judgement.faults.iter().chain(&judgement.untestable) {
                println!("{} {}: {}", fault.verdict, fault.check, fault.why);
            }
            println!("{:?} {}", judgement.counts, judgement.message);
            return ExitCode::from(judgement.exit.code());
        }
        _ => {}
    }
    let options = Options { only: words.first().map(ToString::to_string), ..Options::default() };
    let report = run(&cases, &options);
    print!("{report}");
    for variant in report.variants.iter().filter(|variant| !variant.warnings.is_empty()) {
        for fault in &variant.warnings {
            println!("warning for {}: {}: {}", variant.id, fault.check, fault.why);
        }
    }
    if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
