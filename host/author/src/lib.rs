//! From an empty folder to a component: what an author of actions needs before anything is run.
//!
//! A [`Project`] is a folder with an `action.toml`, a WIT world in `wit/` and sources in one language.
//! [`create`] makes one; [`build`] has the language's own toolchain compile it, makes the result a
//! component, holds it to its world and embeds `action.toml`. Nothing here runs an action, or needs a home.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod bindings;
mod build;
mod create;
mod error;
mod files;
mod folder;
mod languages;
pub mod model;
mod project;
mod sample;
mod stub;
mod tool;
mod world;

pub use build::{Built, build};
pub use create::{Created, NewProject, create};
pub use error::AuthorError;
pub use languages::{Language, javascript_name};
pub use project::Project;
pub use world::{host as host_wit, is_capability, sdk as sdk_world};
