//! What the judge itself is judged by.
//!
//! [`mod@reference`] is our own implementation in this process, in virtual time: the judge must find nothing wrong with it.

pub mod reference;
