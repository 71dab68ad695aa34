//! A permit is for one call: it cannot be doubled.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

fn double<'a>(permit: Permit<'a, Change>) -> [Permit<'a, Change>; 2] {
    [permit.clone(), permit]
}

fn main() {}
