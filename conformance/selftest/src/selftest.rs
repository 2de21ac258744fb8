//! The judge on trial: the reference must be found without fault, every mutant must be found out, and for the right reason,
//! and no legal variant may fail.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyperspace_conformance::case::Case;
use hyperspace_conformance::target::Target;
use hyperspace_conformance::verdict::Exit;
use serde::Serialize;

use crate::mutant::{self, Mutant};
use crate::reference::Reference;
use crate::tolerance::{self, Variant};
use crate::trial::{Fault, Judgement, judge, with_twins};

/// How to put the judge on trial.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of every node and of the order of cases.
    pub seed: u64,
    /// How many nodes are judged at once.
    pub threads: usize,
    /// Only mutants and variants whose id has this in it.
    pub only: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, threads: 2, only: None }
    }
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// A check of a requirement that it breaks found it out.
    Attributed(String),
    /// Another check did.
    Killed(String),
    /// No check did, but the judge says that the node is not conformant or cannot be judged.
    Refused(String),
    /// Nothing did.
    Survived {
        /// Whether it said anything that the reference does not say: if not, no case makes it show what is wrong with it.
        showed: bool,
        /// Checks that could not be made and are made at the reference.
        missing: Vec<String>,
    },
}

/// A mutant and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Its id.
    pub id: String,
    /// What it does.
    pub says: String,
    /// What it breaks.
    pub violates: Vec<String>,
    /// What became of it.
    pub fate: Fate,
}

/// A legal variant, and what the judge holds against it.
#[derive(Clone, Debug, Serialize)]
pub struct Tolerated {
    /// Its id.
    pub id: String,
    /// What it does.
    pub says: String,
    /// What failed: the judge's mistakes.
    pub failures: Vec<Fault>,
    /// Warnings that the reference does not get.
    pub warnings: Vec<Fault>,
    /// How the judge's process would end if that is not well, and why.
    pub refused: Option<String>,
}

/// Everything that came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many cases there were.
    pub cases: usize,
    /// The reference.
    pub reference: Judgement,
    /// The mutants, in the order of the table.
    pub mutants: Vec<Tried>,
    /// The legal variants.
    pub variants: Vec<Tolerated>,
}

/// Least part of mutants that must be killed, in percent.
pub const KILLED_MIN: usize = 95;

/// Least part of mutants that must be killed for the right reason, in percent.
pub const ATTRIBUTED_MIN: usize = 90;

impl Report {
    /// Mutants that were found out, by whatever.
    #[must_use]
    pub fn killed(&self) -> usize {
        self.mutants.iter().filter(|tried| !matches!(tried.fate, Fate::Survived { .. })).count()
    }

    /// Mutants that were found out by a check of a requirement that they break.
    #[must_use]
    pub fn attributed(&self) -> usize {
        self.mutants.iter().filter(|tried| matches!(tried.fate, Fate::Attributed(_))).count()
    }

    /// Mutants that nothing found out.
    pub fn survivors(&self) -> impl Iterator<Item = &Tried> {
        self.mutants.iter().filter(|tried| matches!(tried.fate, Fate::Survived { .. }))
    }

    /// Legal variants that failed, and the reference if it did.
    #[must_use]
    pub fn false_positives(&self) -> usize {
        let reference = usize::from(self.reference.exit != Exit::Conformant);
        let failed = |variant: &&Tolerated| !variant.failures.is_empty() || variant.refused.is_some();
        reference + self.variants.iter().filter(failed).count()
    }

    /// Whether the judge can be trusted.
    #[must_use]
    pub fn passes(&self) -> bool {
        let all = self.mutants.len();
        self.killed() * 100 >= all * KILLED_MIN
            && self.attributed() * 100 >= all * ATTRIBUTED_MIN
            && self.false_positives() == 0
    }
}

fn percent(part: usize, all: usize) -> f64 {
    if all == 0 { 100.0 } else { part as f64 * 100.0 / all as f64 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.mutants.len();
        writeln!(f, "reference: {} ({} cases)", self.reference.message, self.cases)?;
        for fault in &self.reference.faults {
            writeln!(f, "  {} {}: {}", fault.verdict, fault.check, fault.why)?;
        }
        for variant in self.variants.iter().filter(|v| !v.failures.is_empty() || v.refused.is_some()) {
            writeln!(f, "false positive: {}: {}", variant.id, variant.says)?;
            for fault in &variant.failures {
                writeln!(f, "  {} {}: {}", fault.verdict, fault.check, fault.why)?;
            }
            if let Some(refused) = &variant.refused {
                writeln!(f, "  {refused}")?;
            }
        }
        for tried in &self.mutants {
            match &tried.fate {
                Fate::Attributed(_) => {}
                Fate::Killed(by) => {
                    writeln!(
                        f,
                        "killed for another reason: {} ({}): {by}",
                        tried.id,
                        tried.violates.join(" ")
                    )?;
                }
                Fate::Refused(why) => {
                    writeln!(f, "killed by no check: {} ({}): {why}", tried.id, tried.violates.join(" "))?;
                }
                Fate::Survived { showed, missing } => {
                    let missing =
                        missing.first().map(|id| format!("; not checked: {id}")).unwrap_or_default();
                    let missing = if *showed { missing } else { "; no case makes it show".to_owned() };
                    let (id, says, violates) = (&tried.id, &tried.says, tried.violates.join(" "));
                    writeln!(f, "survived: {id}: {says} ({violates}){missing}")?;
                }
            }
        }
        let (killed, attributed) = (self.killed(), self.attributed());
        writeln!(f, "mutants: {all}")?;
        writeln!(f, "  killed: {killed} ({:.1} %, at least {KILLED_MIN} %)", percent(killed, all))?;
        writeln!(
            f,
            "  for the right reason: {attributed} ({:.1} %, at least {ATTRIBUTED_MIN} %)",
            percent(attributed, all)
        )?;
        writeln!(f, "legal variants: {}, false positives: {}", self.variants.len(), self.false_positives())
    }
}

/// The cases with what is looked up in them for every mutant.
struct Index<'c> {
    cases: &'c [Case],
    /// The requirements that each shows something of, and the methods that it calls.
    about: Vec<(BTreeSet<String>, Vec<String>)>,
}

impl<'c> Index<'c> {
    fn new(cases: &'c [Case]) -> Self {
        let about = |case: &Case| (case.cites().iter().map(|cite| cite.id.clone()).collect(), case.methods());
        Self { cases, about: cases.iter().map(about).collect() }
    }

    /// The cases in portions, those first that should notice the mutant: each fault is found at little cost.
    fn portions(&self, mutant: &Mutant) -> Vec<Vec<Case>> {
        let methods = mutant.methods();
        let rank = |index: &usize| {
            let (requirements, calls) = &self.about[*index];
            let cited = mutant.violates.iter().any(|id| requirements.contains(id));
            let called = calls.iter().any(|call| methods.contains(&call.as_str()));
            let near = self.cases[*index].profile == mutant.profile();
            core::cmp::Reverse((cited && (called || methods.is_empty()), cited, near, called))
        };
        let mut order: Vec<usize> = (0..self.cases.len()).collect();
        order.sort_by_key(rank);
        let (mut rest, mut size) = (order.as_slice(), FIRST_PORTION);
        let mut portions = Vec::new();
        while !rest.is_empty() {
            let (portion, others) = rest.split_at(size.min(rest.len()));
            let ids: BTreeSet<&str> = portion.iter().map(|index| self.cases[*index].id.as_str()).collect();
            portions.push(with_twins(self.cases, |case| ids.contains(case.id.as_str())));
            (rest, size) = (others, size * 4);
        }
        portions
    }
}

/// Cases of the first portion; each further one has four times as many.
const FIRST_PORTION: usize = 4;

/// What everybody is compared with.
struct Standard {
    faults: BTreeSet<String>,
    untestable: BTreeSet<String>,
}

fn try_mutant(index: &Index<'_>, mutant: &Mutant, standard: &Standard, seed: u64) -> Tried {
    let portions = index.portions(mutant);
    let (mut killer, mut refused) = (None, None);
    let mut missing = Vec::new();
    let mut fate = None;
    for portion in &portions {
        let judgement = judge(portion, &mut mutant.target(seed), seed);
        let new = |fault: &&Fault| !standard.faults.contains(&fault.check);
        let right = |fault: &&Fault| mutant.violates.contains(&fault.requirement);
        if let Some(fault) = judgement.faults.iter().filter(new).find(right) {
            fate = Some(Fate::Attributed(fault.check.clone()));
            break;
        }
        killer = killer.or_else(|| judgement.faults.iter().find(new).map(|fault| fault.check.clone()));
        let unmade = judgement.untestable.iter().filter(|fault| !standard.untestable.contains(&fault.check));
        missing.extend(unmade.map(|fault| fault.check.clone()));
        // What is held against the reference says nothing about the mutant.
        let own = judgement.faults.iter().any(|fault| standard.faults.contains(&fault.check));
        if !own && !matches!(judgement.exit, Exit::Conformant | Exit::NothingExecuted) {
            refused.get_or_insert(judgement.message);
        }
    }
    let fate = fate.or(killer.map(Fate::Killed)).or(refused.map(Fate::Refused)).unwrap_or_else(|| {
        let said = |target: &mut dyn Target, portion: &[Case]| judge(portion, target, seed).transcript;
        let differs = |portion: &Vec<Case>| {
            said(&mut mutant.target(seed), portion) != said(&mut Reference::new(seed), portion)
        };
        Fate::Survived { showed: portions.iter().any(differs), missing }
    });
    Tried { id: mutant.id.clone(), says: mutant.says.clone(), violates: mutant.violates.clone(), fate }
}

fn try_variant(cases: &[Case], variant: &Variant, standard: &Standard, seed: u64) -> Tolerated {
    let judgement = judge(cases, &mut *variant.target(seed), seed);
    // What is held against the reference is counted there.
    let new = |fault: &&Fault| !standard.faults.contains(&fault.check);
    let failures: Vec<Fault> = judgement.failures().filter(new).cloned().collect();
    let own = judgement.faults.iter().any(|fault| !new(&fault));
    let warnings =
        judgement.faults.iter().filter(new).filter(|fault| !failures.contains(fault)).cloned().collect();
    let refused = (judgement.exit != Exit::Conformant && !own).then_some(judgement.message);
    Tolerated { id: variant.id.clone(), says: variant.says.clone(), failures, warnings, refused }
}

/// Does something with every item, on several threads; the results are in the order of the items.
fn each<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(index, result);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
}

/// Puts the judge on trial with these cases.
#[must_use]
pub fn run(cases: &[Case], options: &Options) -> Report {
    let reference = judge(cases, &mut Reference::new(options.seed), options.seed);
    let ids = |faults: &[Fault]| faults.iter().map(|fault| fault.check.clone()).collect();
    let standard = Standard { faults: ids(&reference.faults), untestable: ids(&reference.untestable) };
    let wanted = |id: &str| options.only.as_ref().is_none_or(|only| id.contains(only.as_str()));
    let mutants: Vec<Mutant> = mutant::all().into_iter().filter(|mutant| wanted(&mutant.id)).collect();
    let variants: Vec<Variant> = tolerance::all().into_iter().filter(|variant| wanted(&variant.id)).collect();
    let index = Index::new(cases);
    Report {
        cases: cases.len(),
        mutants: each(options.threads, &mutants, |mutant| {
            try_mutant(&index, mutant, &standard, options.seed)
        }),
        variants: each(options.threads, &variants, |variant| {
            try_variant(cases, variant, &standard, options.seed)
        }),
        reference,
    }
}
