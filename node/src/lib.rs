//! A real node.
