//! `remit run`.

use clap::Args;
use remit_journal::RunState;
use remit_lifecycle::{Case, Home, Status, Under, execute, execute_standing};
use serde_json::json;

use super::request::tell;
use super::revert::steps;
use super::{Done, INPUT, Key, input, open, open_for, told};
use crate::print::{self, Patience, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit run req-01jd2m4k9x8s7t6v5w4y3z2a1b --key bot.key\n  remit run rotate-secret.wasm --input path=app/db --under req-01jd2m --reason 'INC-7' --key bot.key\n\nThe second runs under a standing scope. What would leave it becomes a request."
)]
pub(crate) struct Run {
    /// The request, or the beginning of its name; with --under, the action.
    what: String,
    /// With --under: what the action is given.
    #[arg(long, value_name = INPUT, requires = "under")]
    input: Vec<String>,
    /// The standing scope.
    #[arg(long, value_name = "REQUEST", requires_all = ["input", "reason"])]
    under: Option<String>,
    /// With --under: why.
    #[arg(long, value_name = "TEXT", requires = "under")]
    reason: Option<String>,
    #[command(flatten)]
    key: Key,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let (rules, by) = self.key.identify(home)?;
        let patience = Patience::with("running");
        let done = match &self.under {
            None => {
                let reader = home.reader()?;
                let id = reader.find_request(&self.what)?;
                let action =
                    Case::load(&reader, &rules, id).ok().and_then(|case| home.action_of(&case.request));
                drop(reader);
                let host = match &action {
                    Some(action) => open_for(home, action).await?,
                    None => open(home).await?,
                };
                let done = execute(&host, &rules, &by, id, None).await;
                told(&host).await;
                done?
            }
            Some(under) => {
                let candidate = home.candidate(self.what.as_ref())?;
                let input = input(&self.input, &candidate)?;
                let host = open_for(home, &candidate).await?;
                let id = host.journal.reader()?.find_request(under)?;
                let reason = self.reason.as_deref().unwrap_or_default();
                let done = execute_standing(&host, &rules, &by, id, (&candidate, &input), reason).await;
                told(&host).await;
                match done? {
                    Under::Ran(done) => *done,
                    Under::Asked { case, why } => {
                        drop(patience);
                        tell(home, &rules, &case, self.json)?;
                        let next = match case.status(&rules) {
                            Status::Approved => "needs no approval: ",
                            _ => "once it is approved, ",
                        };
                        print::warn(&format!(
                            "error: {id} does not cover this: {}\n help: it was asked for instead; {next}`remit run {}`",
                            print::safe(&why),
                            case.request.id
                        ));
                        return Ok(3);
                    }
                }
            }
        };
        drop(patience);
        if self.json {
            print::json(&json!({
                "run": done.run, "state": done.state, "output": done.output, "sealed": done.sealed,
                "cause": done.cause.as_ref().map(ToString::to_string),
                "reverted": done.reverted, "consumed": done.consumed,
            }))?;
        } else {
            say!("{}  {}", done.run, done.state);
            if let Some(output) = &done.output {
                say!("output    {}", print::word(&output.to_string()));
            }
            if done.sealed {
                say!(
                    "output    sealed: it was told a secret or content (`remit show {} --own-words`)",
                    done.run
                );
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
            print::warn(&format!("       {}", super::recover::next_step(done.run, done.state)));
            5
        } else {
            code
        })
    }
}
