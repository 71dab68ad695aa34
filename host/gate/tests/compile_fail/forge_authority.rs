//! An authority has no public fields.
#[path = "allowed.rs"]
mod allowed;
#[allow(unused_imports)]
use allowed::*;

fn forge(backend: &Backend) {
    backend.change(Authority { operation: "x", _call: std::marker::PhantomData });
}

fn main() {}
