//! The cases that come with the judge: the files of `conformance/cases/`, embedded, and those that are made from the table of
//! methods ([`generated`]).

mod facts;
mod generate;

use crate::case::{Case, ParseError};

pub use facts::facts;
pub use generate::{generated, texts};

/// Id and text of every case file, in the order of their ids.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/cases.rs"));

/// Reads the case files.
///
/// # Errors
/// The first mistake in a file; a test sees to it that there is none.
pub fn files() -> Result<Vec<Case>, ParseError> {
    FILES.iter().map(|(id, text)| Case::parse(id, &format!("conformance/cases/{id}.case"), text)).collect()
}

/// All cases: files and generated ones.
///
/// # Errors
/// As [`files`] and [`generated`]; tests see to it that there is none.
pub fn shipped() -> Result<Vec<Case>, ParseError> {
    Ok([files()?, generated()?].concat())
}

#[cfg(test)]
mod tests;
