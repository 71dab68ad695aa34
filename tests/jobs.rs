//! Whole jobs against real systems, from what sets them off to what is left of them. Each is a story that begins well, and then what
//! goes wrong. `cargo xtask demo jobs` shows the stories; [docs/jobs.md](../docs/jobs.md) has what they are about.
//!
//! Another job is one more file in `jobs/`, with a story `the_job_…`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod contain;
mod gateway;
mod isolate;
mod isolate_fails;
mod revoke;
mod rotate;
mod rotate_fails;
mod stage;
mod stale;

use crate::accounts::between;
use crate::connectors::systems;
