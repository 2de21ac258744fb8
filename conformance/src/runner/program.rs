//! A case as a straight line of operations: repetitions are written out before anything runs.

use crate::case::{Action, AnswerTo, Case, Expect, Step};
use crate::json::Json;

/// A step of the case, or one that the runner made.
#[derive(Clone, Debug)]
pub(super) enum StepRef<'c> {
    Case(&'c Step),
    Own(Box<Step>),
}

impl StepRef<'_> {
    pub(super) fn get(&self) -> &Step {
        match self {
            Self::Case(step) => step,
            Self::Own(step) => step,
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Op<'c> {
    /// A step. `copy` tells copies of a parallel block apart.
    Step { step: StepRef<'c>, copy: Option<Copy> },
    /// Give a counter its value.
    Set { name: &'c str, value: Json },
    /// What follows once a budget's status is known.
    Budget(super::arrange::Phase),
}

/// A copy of a parallel block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) block: u32,
    pub(super) round: usize,
}

impl Copy {
    /// The name of a request in this copy.
    pub(super) fn name(self, name: &str) -> String {
        format!("{}.{}.{name}", self.block, self.round)
    }
}

impl<'c> Op<'c> {
    pub(super) fn own(number: u32, line: u32, action: Action) -> Self {
        Self::Step { step: StepRef::Own(Box::new(Step { number, line, action })), copy: None }
    }

    /// The verb, if it is an order of the case to the control hook.
    pub(super) fn order(&self) -> Option<&str> {
        match self {
            Self::Step { step, .. } => step.get().action.order(),
            _ => None,
        }
    }
}

/// The operations of a case, last first.
pub(super) fn program(case: &Case) -> Vec<Op<'_>> {
    let mut ops = Vec::new();
    for step in &case.steps {
        flatten(step, &mut ops);
    }
    ops.reverse();
    ops
}

fn flatten<'c>(step: &'c Step, ops: &mut Vec<Op<'c>>) {
    match &step.action {
        Action::Repeat { variable, times, steps } => {
            for round in 0..times.count() {
                if let Some(name) = variable {
                    ops.push(Op::Set { name, value: times.value(round) });
                }
                for step in steps {
                    flatten(step, ops);
                }
            }
        }
        Action::Parallel { variable, times, steps } => {
            for wanted in [true, false] {
                for round in 0..times.count() {
                    if let Some(name) = variable {
                        ops.push(Op::Set { name, value: times.value(round) });
                    }
                    let copy = Some(Copy { block: step.number, round });
                    let some =
                        steps.iter().filter(|step| matches!(step.action, Action::Send { .. }) == wanted);
                    ops.extend(some.map(|step| Op::Step { step: StepRef::Case(step), copy }));
                }
            }
        }
        _ => ops.push(Op::Step { step: StepRef::Case(step), copy: None }),
    }
}

/// The name under which a request is kept, if it has one.
pub(super) fn request_name(step: &Step, name: Option<&str>, copy: Option<Copy>) -> Option<String> {
    match (copy, name) {
        (None, name) => name.map(str::to_owned),
        (Some(copy), Some(name)) => Some(copy.name(name)),
        // Without a name of its own it is found as the oldest of its copy.
        (Some(copy), None) => Some(copy.name(&format!("#{}", step.number))),
    }
}

/// Is a request of this name in this copy?
pub(super) fn in_copy(name: Option<&str>, copy: Copy) -> bool {
    name.is_some_and(|name| name.starts_with(&copy.name("")))
}

/// Which request an expectation waits for, with the copy it is in.
pub(super) fn answer_to(expect: &Expect, copy: Option<Copy>) -> AnswerTo {
    match (&expect.answer_to, copy) {
        (AnswerTo::Named(name), Some(copy)) => AnswerTo::Named(copy.name(name)),
        (other, _) => other.clone(),
    }
}
