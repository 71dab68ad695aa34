//! An authority comes from a permit only: not from nothing, and not from another.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

fn none() {
    Backend.change(Authority::default());
}

fn double(authority: &Authority<'_>) {
    Backend.change(authority.clone());
}

fn main() {}
