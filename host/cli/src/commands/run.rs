//! `remit run`.

use std::path::PathBuf;

use clap::Args;
use remit_journal::RunState;
use remit_lifecycle::{Home, SignedGrant};
use remit_sandbox::Candidate;
use serde_json::json;

use super::revert::steps;
use super::{Done, INPUT, input, open};
use crate::print::{self, Patience, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit run rotate-secret.wasm --input '{\"path\":\"app/db\"}' --grant app.grant"
)]
pub(crate) struct Run {
    /// The action.
    action: PathBuf,
    /// What it is given: exactly what was granted.
    #[arg(long, value_name = INPUT, required = true)]
    input: Vec<String>,
    /// The grant.
    #[arg(long, value_name = "FILE")]
    grant: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let candidate = Candidate::read(&self.action)?;
        let input = input(&self.input, &candidate)?;
        let host = open(home).await?;
        let grant = SignedGrant::load(&self.grant, &host.operators)?;
        let patience = Patience::with("running");
        let done = remit_lifecycle::execute(&host, &candidate, &input, grant).await?;
        drop(patience);
        if self.json {
            print::json(&json!({
                "run": done.run, "state": done.state, "output": done.output,
                "cause": done.cause.as_ref().map(ToString::to_string),
                "reverted": done.reverted, "consumed": done.consumed,
            }))?;
        } else {
            say!("{}  {}", done.run, done.state);
            if let Some(output) = &done.output {
                say!("output    {}", print::word(&output.to_string()));
            }
            if let Some(reverted) = &done.reverted {
                steps(reverted);
            }
            let used = &done.consumed;
            say!(
                "used      {} ms, {} fuel, {} KiB memory, {} host calls, {} change(s)",
                used.wall_time,
                used.fuel,
                used.memory / 1024,
                used.calls.host_calls,
                used.calls.changes
            );
        }
        let Some(cause) = done.cause else { return Ok(0) };
        let code = print::error(&cause);
        Ok(if matches!(done.state, RunState::Held | RunState::InDoubt) {
            print::warn(&format!(
                "       its changes stand: look at them (`remit show {}`), then keep or `remit revert` them",
                done.run
            ));
            5
        } else {
            code
        })
    }
}
