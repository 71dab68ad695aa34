//! Whole jobs against real systems, from what sets them off to what is left of them. Each is a story that begins well, and then what
//! goes wrong. `cargo xtask demo jobs` shows the stories; [docs/jobs.md](../docs/jobs.md) has what they are about.
//!
//! Another job is one more file in `jobs/`, with a story `the_job_…`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

#[allow(dead_code, reason = "the tests of accounts use the rest")]
#[path = "accounts/between.rs"]
mod between;
#[path = "jobs/contain.rs"]
mod contain;
#[path = "jobs/gateway.rs"]
mod gateway;
#[path = "jobs/isolate.rs"]
mod isolate;
#[path = "jobs/isolate_fails.rs"]
mod isolate_fails;
#[path = "jobs/revoke.rs"]
mod revoke;
#[path = "jobs/rotate.rs"]
mod rotate;
#[path = "jobs/rotate_fails.rs"]
mod rotate_fails;
#[path = "jobs/stage.rs"]
mod stage;
#[path = "jobs/stale.rs"]
mod stale;
#[allow(dead_code, reason = "the tests of connectors use the rest")]
#[path = "connectors/systems.rs"]
mod systems;
