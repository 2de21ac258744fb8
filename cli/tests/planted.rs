//! The checker is checked: with a nondeterminism planted in the simulator, `verify` finds it and names epoch, peer and
//! event. Run with `cargo test -p hyperlab --features planted-nondeterminism --test planted`.
#![cfg(feature = "planted-nondeterminism")]

use std::process::Command;

#[test]
fn verify_finds_a_planted_nondeterminism_and_where_it_starts() {
    let output = Command::new(env!("CARGO_BIN_EXE_hyperlab"))
        .args(["verify", "convergence", "--quiet", "--set", "group.honest.count=100"])
        .output()
        .expect("the binary of this package runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for words in [
        "differ\nepoch ",
        ", block ",
        "\npeer ",
        "of that epoch:\n",
        "\nreproduce: hyperlab verify convergence --seed 1 ",
    ] {
        assert!(stderr.contains(words), "expected `{words}` in\n{stderr}");
    }
}
