//! Each parser of bytes from outside, as a function that takes any bytes. `cargo xtask fuzz TARGET` looks for bytes that they
//! do not survive; `tests/corpus.rs` has them read everything in `seeds/` at each `cargo test`.
#![forbid(unsafe_code)]

mod targets;

pub use targets::*;
