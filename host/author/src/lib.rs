//! From an empty folder to a component: what an author of actions and connectors needs before anything is run.
//!
//! A [`Project`] is a folder with an `action.toml`, a WIT world in `wit/` and sources in one language; a connector's has a
//! `connector.toml`. [`create`] makes one; [`build`] has the language's own toolchain compile it, makes the result a
//! component, holds it to its world and embeds that file. Nothing here runs an action, or needs a home.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod bindings;
mod build;
mod connector;
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
pub use connector::FILE as DESCRIPTION;
pub use create::{Created, NewProject, create};
pub use error::AuthorError;
pub use languages::{Language, declarative, javascript_name};
pub use project::Project;
pub use world::{connector as connector_world, host as host_wit, is_capability, sdk as sdk_world};
