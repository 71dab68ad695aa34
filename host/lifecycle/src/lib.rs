//! The life of a repair: plan, grant, run, verify, revert. Everything a front end needs is here, so that a
//! front end only parses and prints.

mod config;
mod doctor;
mod error;
mod grant;
mod home;
mod input;
mod plan;
mod revert;
mod run;

pub use config::{Config, Trust};
pub use doctor::{Finding, doctor};
pub use error::Error;
pub use grant::{GRANT_TYPE, Grant, GrantRequest, SignedGrant};
pub use home::{Home, Host, Initialised, log_key};
pub use input::Input;
pub use plan::{PlanFile, rehearse};
pub use revert::{Reverted, Step as RevertStep, revert};
pub use run::{Finished, execute};
