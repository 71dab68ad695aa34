//! Text that people and their tools hand in: JSON and TOML, durations, variables of the environment. One reader for
//! each, so that the same text means the same everywhere, and a mistake is shown at its place. And one way to show what strangers wrote.
#![forbid(unsafe_code)]

pub mod duration;
pub mod env;
mod escape;
pub mod json;
mod mistake;
mod number;
mod section;
pub mod toml;

pub use escape::{columns, has_hidden, hides, json_text, line, lines, short_line};
pub use mistake::Mistake;
