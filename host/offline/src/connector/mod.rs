//! Connectors under test, with a fixture in place of their system: the same component, templates, placeholders and limits as in
//! a home, and no home.
//!
//! ```toml
//! function  = "remit:accounts/disable.disable"
//! arguments = { path = "users/42" }
//!
//! [[phase]]
//! run    = "prepare"
//! expect = { undo = { name = "Alice" }, describe = "enable users/42 again" }
//!
//! [[phase.exchange]]
//! send   = "GET /users/42"
//! status = 200
//! answer = { enabled = true, name = "Alice" }
//! ```

mod bench;
mod compare;
mod fixture;
mod record;

pub use bench::{ConnectorBench, Real, Told};
pub use compare::{story_differences, undone};
pub use fixture::{Came, Story};
pub use record::record_story;
