//! Text that people and their tools hand in: JSON and TOML, durations, variables of the environment. One reader for
//! each, so that the same text means the same everywhere, and a mistake is shown at its place.
#![forbid(unsafe_code)]

pub mod duration;
pub mod env;
pub mod json;
mod mistake;
mod number;
pub mod toml;

pub use mistake::Mistake;
