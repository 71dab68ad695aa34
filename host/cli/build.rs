//! How `remit` is linked.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A debug build of 250 MB has 430,000 addresses that depend on where it is loaded. To write them all takes half of
    // the time of a command, and the tests run tens of thousands. What is released is loaded anywhere, as usual.
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    let is_glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if is("PROFILE", "debug") && is_glibc {
        println!("cargo::rustc-link-arg=-no-pie");
    }
}
