//! The life of a repair: plan, grant, run, verify, revert. Everything a front end needs is here, so that a
//! front end only parses and prints.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod authority;
mod changes;
mod claim;
mod components;
mod config;
mod doctor;
mod error;
mod export;
mod founding;
mod home;
mod host;
mod input;
mod keyring;
mod notify;
mod own_words;
mod plan;
mod recover;
mod replay;
mod revert;
mod run;
mod status;
mod timeline;
mod witness;

/// The allocator of every program with a host in it: glibc's takes a sixth of a run's time where many run at once, see
/// docs/performance.md. C code, SQLite's above all, keeps the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use authority::{
    Actor, Approval, Asks, Budget, Budgets, Case, Could, Does, Ending, Explained, Given, Hours, Identity,
    Lacks, Needed, Opinion, Order, Power, Powers, Request, Rules, Said, Standing, Status, Target, Terms,
    Trigger, Under, What, Which, budgets, check_authority, could, decide, differences, execute,
    execute_standing, explain, freeze, import_approval, orders, prepare_approval, request_run,
    request_standing, review, revoke, waiting_for_room, who_may_approve,
};
pub use components::install;
pub use config::{Config, Trust};
pub use doctor::{Finding, doctor};
pub use error::Error;
pub use export::{export_ocsf, export_records};
pub use founding::{Founder, Founding, Initialised};
pub use home::{Home, log_key};
pub use host::Host;
pub use input::Input;
pub use keyring::{expire_undo, rekey};
pub use notify::{Delivery, expire, give_up, notify};
pub use own_words::{OwnWords, own_words};
pub use plan::{PlanFile, rehearse};
pub use recover::{Recovered, Recovery, Verdict, recover, resolve};
pub use replay::{Replayed, replay};
pub use revert::{RevertOptions, Reverted, Step as RevertStep, revert};
pub use run::Finished;
pub use status::{Ends, Frozen, HostStatus, Open, frozen, status};
pub use timeline::{
    Authority, Changed, Covers, Line, LogLine, Reached, Refused, Resolution, Seen,
    Standing as ChangeStanding, Timeline, Undone, Words, down_to, operation_words, second, undo_words,
};
pub use witness::{WitnessConfig, Witnessed, ask_witnesses};
