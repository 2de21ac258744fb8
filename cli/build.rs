//! Notes the compiler and the profile, so that an output folder can name the build it comes from.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let profile = std::env::var("PROFILE").unwrap_or_default();
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=HYPERLAB_RUSTC={}", version.trim());
    println!("cargo::rustc-env=HYPERLAB_PROFILE={profile}");
    println!("cargo::rustc-env=HYPERLAB_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
