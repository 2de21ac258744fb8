#!/usr/bin/env bash
# All checks of the project, in the order in which they fail fastest. Needs Rust with rustfmt and clippy, nothing else.
# Exits non-zero at the first failure.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v cargo >/dev/null; then
    echo "test.sh: cargo is not installed: get Rust from https://rustup.rs" >&2
    exit 1
fi
for part in fmt clippy; do
    if ! cargo "$part" --version >/dev/null 2>&1; then
        echo "test.sh: cargo $part is missing: run 'rustup component add rustfmt clippy'" >&2
        exit 1
    fi
done

hyperlab="${CARGO_TARGET_DIR:-target}/release/hyperlab"
tmp=$(mktemp -d)
log="$tmp/log"
trap 'rm -rf "$tmp"' EXIT

step() {
    echo "== $*"
    "$@"
}

step cargo fmt --all -- --check
step cargo clippy --locked --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --locked --workspace --no-deps --document-private-items --quiet
step cargo test --locked --workspace 2>&1 | tee "$log"

# The judge shares no code with what it judges here.
if cargo tree --locked --package hyperspace-conformance | grep hyperspace-protocol; then
    echo "test.sh: hyperspace-conformance must not depend on hyperspace-protocol" >&2
    exit 1
fi

# The same digests from an optimised build as from the tests' build, with its overflow checks and assertions.
step cargo build --locked --release
digest() { "$1" run convergence --json --quiet --set group.honest.count=300 | grep -o '"digest":"[0-9a-f]*"'; }
optimised=$(digest "$hyperlab")
checked=$(digest "${CARGO_TARGET_DIR:-target}/debug/hyperlab")
echo "== optimised build $optimised, tests' build $checked"
if [ "$optimised" != "$checked" ]; then
    echo "test.sh: the optimised build and the tests' build come to different digests" >&2
    exit 1
fi

# The checker of determinism finds a nondeterminism that is planted for it.
step cargo test --locked -p hyperlab --features planted-nondeterminism --test planted 2>&1 | tee -a "$log"

# One digest from every engine, any number of threads and encoded messages.
verify() { step "$hyperlab" verify "scenarios/$1.toml" --quiet "${@:2}"; }
for scenario in convergence sybil-flood partition-heal asymmetric-partition lossy-wan; do
    verify "$scenario" --set group.honest.count=400
done
for scenario in churn cold-start; do
    verify "$scenario" --set group.honest.count=200 --set run.duration=240s
done
verify dht-churn --set group.honest.count=300
verify kademlia-lookup --set group.honest.count=2000
verify nat-majority --set group.honest.count=80 --set group.hidden.count=160
verify capability-ttl --set group.tools.count=200 --set run.duration=1800s
verify topic-caps --set group.honest.count=125 --set run.duration=20s --set run.warmup=10s
verify collective-learning --set group.honest.count=100 --set run.duration=60s
verify ring-rebalance --set group.honest.count=100
verify ring-750-literal --set group.honest.count=100
verify g8 --set group.honest.count=2000
verify calibration-gossipsub-v1.0

# The judge finds no fault in our own node, over a real socket and with nothing that it could not show.
hook="$tmp/control"
echo "a-key-for-the-judge-alone" >"$tmp/key"
node="$hyperlab node --data {dir} --rpc 127.0.0.1:{port} --listen /ip4/127.0.0.1/tcp/0 --log warn"
step "$hyperlab" conform --strict --control "unix:$hook" --api-key-file "$tmp/key" \
    "cmd:$node --control unix:$hook --api-key-file $tmp/key" | grep -v '^  PASS'

# What each scenario must show.
step "$hyperlab" run scenarios/g8.toml --quiet
step "$hyperlab" run scenarios/g8.toml --quiet --set group.honest.count=100000
step "$hyperlab" run scenarios/calibration-gossipsub-v1.0.toml --quiet --seeds 1..=20
for scenario in partition-heal asymmetric-partition lossy-wan churn cold-start nat-majority kademlia-lookup dht-churn \
    ring-rebalance ring-750-literal capability-ttl topic-caps collective-learning; do
    step "$hyperlab" run "scenarios/$scenario.toml" --quiet
done
for example in assert_on_a_world changed_machine; do
    step cargo run --locked --release --quiet -p hyperspace-sim --example "$example"
done

awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored; exit failed > 0 }' "$log"
