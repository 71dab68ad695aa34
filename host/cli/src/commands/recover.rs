//! `remit recover` and `remit resolve`.

use clap::{ArgGroup, Args};
use remit_lifecycle::{Home, OrderKind, Recovered, Verdict, prepare_resolve};

use super::common::{Done, open};
use super::recovery::{stuck, warn};
use super::revert::print_steps;
use super::signing::{Signing, SigningResult};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit recover\n\nEach of these runs is reverted or held, as its scope says. Commands that open the home to run, plan or revert do the same first. Runs of another process are not touched."
)]
pub(crate) struct Recover {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Recover {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let host = home.open()?;
        let recovery = remit_lifecycle::recover(&host).await?;
        if self.json {
            let all: Vec<_> = recovery.recovered.iter().chain(&recovery.restored).collect();
            print::json(&all)?;
        } else if [&recovery.recovered, &recovery.restored].iter().all(|runs| runs.is_empty())
            && recovery.paged.is_empty()
            && recovery.stuck.is_empty()
        {
            say!("nothing to recover");
        }
        let mut code = 0;
        for run in recovery.recovered.iter().chain(&recovery.restored) {
            if !self.json {
                print_run(run);
            }
            code = code.max(warn(run));
        }
        for run in &recovery.paged {
            print::warn(&format!("note: people are called because of {run}: `remit show {run}`"));
        }
        Ok(code.max(stuck(&recovery)))
    }
}

#[derive(Args)]
#[command(
    group(ArgGroup::new("verdict").required(true)),
    after_help = "Example:\n  remit resolve 01jd2m --did-not-happen --reason 'version 3 is still there, says the audit log of the vault'\n\nThe run then gets the state that follows from it: reverted, held or failed."
)]
pub(crate) struct Resolve {
    /// The run, or the beginning of its name.
    run: String,
    /// The call took effect.
    #[arg(long, group = "verdict")]
    happened: bool,
    /// The call did not take effect.
    #[arg(long, group = "verdict")]
    did_not_happen: bool,
    /// How you know, for the record.
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    reason: Option<String>,
    /// The number of the call, if several are in doubt.
    #[arg(long, value_name = "NUMBER")]
    call: Option<u64>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Resolve {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let run = home.reader()?.find(&self.run)?;
        let host = open(home).await?;
        let (call, happened) = (self.call, self.happened);
        let verdict = Verdict { call, happened, reason: self.reason.unwrap_or_default() };
        let prepare = async |by: &_| prepare_resolve(&host, by, run, &verdict).await;
        let said = if happened { "--happened" } else { "--did-not-happen" };
        let chosen = call.map(|call| format!(" --call {call}")).unwrap_or_default();
        let again = format!("remit resolve {run} {said}{chosen}");
        let is_it = |what: &_| match what {
            OrderKind::Resolve { run: of, call: about, happened: says } => {
                *of == run && call.is_none_or(|call| call == *about) && *says == happened
            }
            _ => false,
        };
        let SigningResult::Signed(by) = self.signing.actor(&host, &again, prepare, is_it).await? else {
            return Ok(0);
        };
        let resolved = remit_lifecycle::resolve(&host, &by, run, &verdict).await?;
        if self.json {
            print::json(&resolved)?;
        } else {
            print_run(&resolved);
        }
        Ok(warn(&resolved))
    }
}

fn print_run(run: &Recovered) {
    say!("{}  {}", run.run, run.state);
    say!("because   {}", print::word(&run.detail));
    print_steps(&run.reverted, "undone");
}
