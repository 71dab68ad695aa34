//! Reading text from people and tools: JSON, TOML, durations, addresses, environment variables. There is one reader for each, so that the
//! same text means the same everywhere, and errors show the place of a mistake. Also, showing untrusted text safely.
#![forbid(unsafe_code)]

mod address;
pub mod duration;
pub mod env;
mod escape;
pub mod json;
mod mistake;
mod number;
mod section;
pub mod toml;
mod uri;

pub use address::{Address, AddressError, this_machine};
pub use escape::{columns, has_hidden, hides, json_text, line, lines, short_line};
pub use mistake::Mistake;
pub use section::Table;
pub use uri::uri_part;
