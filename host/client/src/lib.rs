//! What talks to a server in a principal's name: it opens a session, proves each call, and signs what the server prepared after
//! it looked at it.
#![forbid(unsafe_code)]

mod client;
mod error;
mod id_token;
mod proof;

pub use client::{About, Client, ToSign, agent};
pub use error::ClientError;
pub use id_token::{CertifiedKey, github};
