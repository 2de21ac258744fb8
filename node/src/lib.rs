//! A real node.

pub mod outside;
