//! Error codes that are swapped for others: everywhere, so that every case that asserts a code must notice.
//!
//! Two are not here: -32003, which no node has to use at any rate that a case may try, and -32006, which takes other peers.

use super::Mutant;
use crate::rule::{Act, on};

/// Codes in use, the requirements that demand them, and what they are swapped for.
const CODES: [(i64, &str, &[i64], &str); 10] = [
    (-32700, "transport", &[-32600, -32603, -32602], "HSP-8-01"),
    (-32600, "transport", &[-32700, -32603, -32601], "HSP-8-02 HSP-2.2-07 HSP-2.2-08 HSP-2.2-09 HSP-2.2-27"),
    (-32601, "transport", &[-32600, -32602, -32603, -32001], "HSP-8-03 HSP-3-01 HSP-3-02 HSP-3-03 HSP-3-04"),
    (
        -32602,
        "transport",
        &[-32603, -32601, -32001, -32000],
        "HSP-8-04 HSP-4.1-05 HSP-4.1-20 HSP-4.1-21 HSP-4.2-16 HSP-4.2-25 HSP-4.3-18 HSP-4.3-20 HSP-4.5-14 HSP-5.1-18 HSP-5.2-21 HSP-6-23",
    ),
    (
        -32001,
        "transport",
        &[-32602, -32603, -32002, -32601],
        "HSP-8-05 HSP-8-15 HSP-4.1-07 HSP-4.1-13 HSP-4.1-16 HSP-4.2-18 HSP-4.3-16 HSP-4.5-13",
    ),
    (-32002, "guard", &[-32602, -32003, -32001, -32603], "HSP-8-06 HSP-4.2-11 HSP-4.2-12 HSP-6-22"),
    (-32004, "memory", &[-32602, -32603], "HSP-8-08"),
    (-32005, "recursive", &[-32602, -32003, -32603], "HSP-8-09 HSP-4.5-10"),
    (-32007, "memory", &[-32006, -32603], "HSP-8-11 HSP-4.4-18"),
    (-32008, "improving", &[-32603, -32001], "HSP-8-12 HSP-5.2-06"),
];

/// See the module's text.
pub(super) fn all() -> Vec<Mutant> {
    let mut out = Vec::new();
    for (from, profile, others, violates) in CODES {
        for to in others {
            out.push(Mutant::new(
                format!("{profile}/code{from}-as{to}"),
                format!("what should be {from} is {to}"),
                violates,
                vec![on("*").act(Act::Code(from, *to))],
            ));
        }
    }
    out
}
