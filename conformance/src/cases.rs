//! The cases that come with the judge: the files of `conformance/cases/`, embedded.

use crate::case::{Case, ParseError};

/// Id and text of every case file, in the order of their ids.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/cases.rs"));

/// Reads every case that comes with the judge.
///
/// # Errors
/// The first mistake in a file; a test sees to it that there is none.
pub fn shipped() -> Result<Vec<Case>, ParseError> {
    FILES.iter().map(|(id, text)| Case::parse(id, &format!("conformance/cases/{id}.case"), text)).collect()
}
