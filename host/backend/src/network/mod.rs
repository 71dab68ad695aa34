//! The traffic of workloads: who on this machine may still talk with others.

mod config;
mod connections;
mod exception;
mod made_up;
pub(crate) mod namespace;
pub(crate) mod nft;
mod nftables;
mod place;
mod played;
mod router;
mod rules;
mod target;

pub use config::NetworkConfig;
pub(crate) use connections::inodes;
pub use made_up::MadeUpTraffic;
pub use nftables::Nftables;
pub use place::{Connection, Cut, Draft, KIND, Traffic, TrafficView, apart};
pub use played::PlayedTraffic;
pub use router::Networks;
pub use target::Target;
