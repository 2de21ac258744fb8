//! Mutants: nodes that are right but for one thing. A judge that does not notice is no judge.
//!
//! Each is the reference with a deviation between it and the judge, where only JSON is seen; each names the requirements that
//! it breaks, so that it shows not only whether something is noticed but whether the right thing is. Most are made from the
//! judge's own table of methods (`shape`, `params`, `code`), the rest are mistakes that programmers make, by primitive.

mod code;
mod guard;
mod improving;
mod learning;
mod memory;
mod params;
mod payments;
mod recursive;
mod shape;
mod state;
mod tool;
mod transport;

use hyperspace_conformance::registry::{method, requirement};

use crate::reference::Reference;
use crate::rule::{Rule, Ruled};
use crate::seam::{Deviation, Seam};

/// A node that is right but for one thing.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Its name: the profile and what is wrong.
    pub id: String,
    /// What it does, in a sentence.
    pub says: String,
    /// The requirements that it breaks; a check of any of them attributes it rightly.
    pub violates: Vec<String>,
    rules: Vec<Rule>,
}

impl Mutant {
    fn new(id: impl Into<String>, says: impl Into<String>, violates: &str, rules: Vec<Rule>) -> Self {
        let violates = violates.split_whitespace().map(str::to_owned).collect();
        Self { id: id.into(), says: says.into(), violates, rules }
    }

    /// The profile whose cases should notice first.
    #[must_use]
    pub fn profile(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// What it does otherwise.
    #[must_use]
    pub fn deviation(&self) -> Box<dyn Deviation> {
        Box::new(Ruled::new(self.rules.clone()))
    }

    /// A fresh one.
    #[must_use]
    pub fn target(&self, seed: u64) -> Seam<Reference> {
        Seam::new(Reference::new(seed), format!("mutant:{}", self.id), self.deviation())
    }

    /// The methods whose calls it treats otherwise; empty if it is all of them.
    #[must_use]
    pub fn methods(&self) -> Vec<&str> {
        let names = self.rules.iter().flat_map(Rule::methods).map(String::as_str);
        let names: Vec<_> = names.collect();
        if names.iter().any(|name| method(name).is_none()) { Vec::new() } else { names }
    }
}

/// All mutants, each id once.
#[must_use]
pub fn all() -> Vec<Mutant> {
    let tables = [
        shape::all(),
        params::all(),
        code::all(),
        transport::all(),
        state::all(),
        guard::all(),
        tool::all(),
        memory::all(),
        recursive::all(),
        learning::all(),
        improving::all(),
        payments::all(),
    ];
    tables.into_iter().flatten().collect()
}

/// The mutant of this id.
#[must_use]
pub fn find(id: &str) -> Option<Mutant> {
    all().into_iter().find(|mutant| mutant.id == id)
}

/// What is wrong with the table itself.
#[must_use]
pub fn lint() -> Vec<String> {
    let mut found = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for mutant in all() {
        if !ids.insert(mutant.id.clone()) {
            found.push(format!("{} is there twice", mutant.id));
        }
        if mutant.violates.is_empty() {
            found.push(format!("{} breaks nothing", mutant.id));
        }
        for id in &mutant.violates {
            if requirement(id).is_none() {
                found.push(format!("{}: there is no requirement {id}", mutant.id));
            }
        }
        for rule in &mutant.rules {
            for name in rule.methods() {
                if !name.ends_with('*') && method(name).is_none() {
                    found.push(format!("{}: there is no method {name}", mutant.id));
                }
            }
        }
    }
    found
}

/// A table of mutants of one profile.
macro_rules! mutants {
    ($profile:literal; $($id:literal, $says:literal, $violates:literal => [$($rule:expr),+ $(,)?];)*) => {
        /// See the module's text.
        pub(super) fn all() -> Vec<$crate::mutant::Mutant> {
            vec![$($crate::mutant::Mutant::new(
                concat!($profile, "/", $id), $says, $violates, vec![$($rule),+],
            )),*]
        }
    };
}
use mutants;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_large_enough() {
        assert_eq!(lint(), Vec::<String>::new());
        assert!(all().len() >= 400, "{}", all().len());
        assert!(find(&all()[0].id).is_some() && find("no/such").is_none());
    }
}
