//! A permit is for one call: it cannot be doubled.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

fn double<'a>(permit: Permit<'a, Rotate>) -> [Permit<'a, Rotate>; 2] {
    [permit.clone(), permit]
}

fn main() {}
