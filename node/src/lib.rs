//! A real node.

pub mod outside;
pub mod store;
