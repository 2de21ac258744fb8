//! The seeds of `corpus/`, and mutants of them that are the same in every run, each through its target.
//!
//! A seed called `valid-...` must be accepted and one called `bad-...` refused; about others nothing is said.

use std::fs;
use std::path::{Path, PathBuf};

use hyperspace_protocol::rng::{Stream, purpose_key};

/// What a mutant may have in the place of a piece of a seed.
const PIECES: [&[u8]; 24] = [
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\0",
    b"\n",
    b" ",
    b"\"",
    b"\\",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b"}",
    b"#",
    b"nan",
    b"-inf",
    b"-0.0",
    b"1e400",
    b"0.1",
    b"18446744073709551615",
    b"999999999999999999999999999999999999999999",
    b"\\ud800",
    "\u{e9}\u{6771}\u{1f600}".as_bytes(),
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x00",
];

/// Prints the input if its target panics.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files
}

/// Runs all seeds, and as many mutants.
fn run(target: fn(&[u8]) -> bool, name: &str, folders: &[&str], mutants: u64) {
    let mut seeds = Vec::new();
    for path in folders.iter().flat_map(|folder| files(folder)) {
        let bytes = fs::read(&path).expect("readable");
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let shown = Shown(&file, &bytes);
        let accepted = target(&bytes);
        assert!(!file.starts_with("valid-") || accepted, "{file} is refused");
        assert!(!file.starts_with("bad-") || !accepted, "{file} is accepted");
        drop(shown);
        seeds.push(bytes);
    }
    let key = purpose_key(1, name);
    let mut accepted = 0;
    for number in 0..mutants {
        let bytes = mutant(&seeds, &mut Stream::new(key, number));
        let shown = Shown(name, &bytes);
        accepted += u64::from(target(&bytes));
        drop(shown);
    }
    // Mutants that are all refused at the door would test the door alone.
    assert!(accepted > mutants / 200, "only {accepted} of {mutants} mutants are accepted");
}

/// A seed with a change or a few.
fn mutant(seeds: &[Vec<u8>], draw: &mut Stream) -> Vec<u8> {
    let mut any = |n: usize| draw.below(n as u64) as usize;
    let mut bytes = seeds[any(seeds.len())].clone();
    for _ in 0..=any(2) * any(4) {
        let from = any(bytes.len() + 1);
        let to = from + any((bytes.len() - from).min(40) + 1);
        let piece = PIECES[any(PIECES.len())];
        match any(10) {
            0 if from < bytes.len() => bytes[from] ^= 1 << any(8),
            1 if from < bytes.len() => bytes[from] = any(256) as u8,
            2 => drop(bytes.drain(from..to)),
            3 => bytes.truncate(from),
            4 => {
                let copy = bytes[from..to].to_vec();
                let at = any(bytes.len() + 1);
                bytes.splice(at..at, copy);
            }
            5 => {
                let other = &seeds[any(seeds.len())];
                bytes.splice(from.., other[any(other.len() + 1)..].iter().copied());
            }
            6 => drop(bytes.splice(from..to, piece.iter().copied())),
            // Text stays in shape if digits become digits and letters letters.
            _ => match bytes[from..].iter_mut().find(|byte| byte.is_ascii_alphanumeric()) {
                Some(digit @ b'0'..=b'9') => *digit = b'0' + any(10) as u8,
                Some(letter) => *letter = b'a' + any(26) as u8,
                None => {}
            },
        }
    }
    bytes
}

macro_rules! targets {
    ($($name:ident: $mutants:literal $(and $folder:literal)?),+ $(,)?) => {$(
        #[test]
        fn $name() {
            let folders = [concat!("corpus/", stringify!($name)) $(, $folder)?];
            run(hyperspace_fuzz::$name, stringify!($name), &folders, $mutants);
        }
    )+

        /// No folder of seeds without a target, and no target without an entry point for cargo-fuzz.
        #[test]
        fn every_target_is_everywhere() {
            let targets = [$(stringify!($name)),+];
            let names = |folder: &str| -> Vec<String> {
                let stem = |path: PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                files(folder).into_iter().map(stem).collect()
            };
            assert_eq!(names("corpus"), targets);
            assert_eq!(names("libfuzzer/fuzz_targets"), targets);
        }
    };
}

targets! {
    card: 20_000,
    csv: 20_000,
    envelope: 20_000,
    events: 20_000,
    gml: 20_000,
    interop: 20_000,
    kad: 20_000,
    payload: 20_000,
    rpc: 20_000,
    scenario: 20_000 and "../scenarios",
    trace: 20_000,
}
