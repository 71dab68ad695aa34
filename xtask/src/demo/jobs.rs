//! `cargo xtask demo jobs`: the stories of `tests/jobs`, told. They are the tests themselves: what is shown is what is tested.

use anyhow::Result;

use crate::jobs::END_TO_END;
use crate::{plugins, shell, test};

/// The real systems, by the names that `cargo xtask test` has for them.
const SYSTEMS: [&str; 9] =
    ["openbao", "openldap", "postgres", "pgbouncer", "roundup", "verdaccio", "moto", "scanner", "nftables"];
/// The actions and connectors.
const GUESTS: [&str; 12] = [
    "disable-stale-accounts",
    "aws-iam",
    "isolate-api-key",
    "lift-isolation",
    "replace-api-key",
    "tell-ticket",
    "roundup-tickets",
    "revoke-leaked-token",
    "openbao-tokens",
    "npm-tokens",
    "rotate-database-credential",
    "contain-workload",
];

/// Installs what the jobs need, builds, and plays them one after the other.
pub(crate) fn run() -> Result<()> {
    let environment = test::servers(&SYSTEMS)?;
    plugins::run(&GUESTS.map(ToOwned::to_owned))?;
    shell::say("building remit and the stories: a few minutes the first time");
    shell::run(
        test::tests(&["--quiet", "--no-run", "--test", END_TO_END])?.envs(environment.iter().cloned()),
    )?;
    let play = ["--quiet", "--test", END_TO_END, "--", "--nocapture", "--test-threads=1", "the_job_"];
    shell::run(test::tests(&play)?.envs(environment))?;
    println!("\nThose were all the jobs. docs/jobs.md says what each is for, and how to set it up.");
    Ok(())
}
