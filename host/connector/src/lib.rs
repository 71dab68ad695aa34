//! What is between a connector's component and the network: its description, the requests that it may send, and the
//! credential that it never sees.
//!
//! A connector has no power but to ask the host to send a request. An [`Exchange`] is one phase of one call. It compares each
//! request with the templates of the [`Description`], filled from the journaled arguments, and sends it to the one [`Origin`] of
//! the operator's [`Entry`], or to nobody.
//!
//! Calls block: run them on a thread that may.
#![forbid(unsafe_code)]

mod address;
mod answer;
mod call;
mod check;
mod client;
pub mod component;
mod credential;
mod description;
mod entry;
mod error;
mod exchange;
mod origin;
mod placeholder;
mod pointer;
mod replay;
mod request;
mod template;

pub use address::Block;
pub use call::{Call, NoAnswer, Phase, Sent};
pub use description::{About, Auth, Cas, Description, Function, PathPattern};
pub use entry::{
    AwsConfig, BasicConfig, CredentialConfig, Entry, GithubAppConfig, HeaderConfig, OauthConfig,
};
pub use error::ConnectorError;
pub use exchange::Exchange;
pub use origin::Origin;
pub use placeholder::{PREFIX as PLACEHOLDER, Placeholders};
pub use pointer::Pointer;
pub use replay::{Recorded, Replay};
pub use request::{Request, Response};
pub use template::Template;
