//! `remit recover` and `remit resolve`.

use clap::{ArgGroup, Args};
use remit_journal::RunId;
use remit_lifecycle::{Home, Order, OrderKind, Recovered, Verdict, prepare_resolve};
use serde::Deserialize;
use serde_json::json;

use super::common::{Done, open};
use super::recovery::{stuck, warn};
use super::revert::print_steps;
use super::signing::{Signing, SigningResult};
use crate::place::{Place, Server};
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
    pub(crate) async fn run(self, place: &Place) -> Done {
        if let Some(server) = place.server()? {
            return match self.at(&server).await? {
                Some(resolved) => self.told(&resolved),
                None => Ok(0),
            };
        }
        let home = place.home()?;
        let run = home.reader()?.find(&self.run)?;
        let host = open(home).await?;
        let verdict = Verdict {
            call: self.call,
            happened: self.happened,
            reason: self.reason.clone().unwrap_or_default(),
        };
        let prepare = async |by: &_| prepare_resolve(&host, by, run, &verdict).await;
        let is_it = |what: &_| self.is_it(run, what);
        let SigningResult::Signed(by) = self.signing.actor(&host, &self.again(run), prepare, is_it).await?
        else {
            return Ok(0);
        };
        self.told(&remit_lifecycle::resolve(&host, &by, run, &verdict).await?)
    }

    /// The same through a server; none if the order was only prepared.
    async fn at(&self, server: &Server) -> Done<Option<Recovered>> {
        #[derive(Deserialize)]
        struct Ordered {
            result: Recovered,
        }
        let (run, _) = server.run(&self.run)?;
        let order = json!({"resolve": {"run": run, "call": self.call, "happened": self.happened}});
        let mut body = json!({"reason": self.reason, "order": order});
        let is_it = |signed: &Order| {
            let same = self.is_it(run, &signed.order);
            if same { Ok(()) } else { Err("it orders something else".to_owned()) }
        };
        let prepare = ("/api/v1/orders/prepare", &mut body);
        let SigningResult::Signed(signed) =
            self.signing.at_server(server, &self.again(run), prepare, is_it).await?
        else {
            return Ok(None);
        };
        Ok(Some(server.submit::<Ordered>("/api/v1/orders", &signed)?.result))
    }

    /// The command that submits the order, if it is signed elsewhere.
    fn again(&self, run: RunId) -> String {
        let said = if self.happened { "--happened" } else { "--did-not-happen" };
        let chosen = self.call.map(|call| format!(" --call {call}")).unwrap_or_default();
        format!("remit resolve {run} {said}{chosen}")
    }

    /// Whether an order is the one that was asked for.
    fn is_it(&self, run: RunId, order: &OrderKind) -> bool {
        match order {
            OrderKind::Resolve { run: of, call, happened } => {
                *of == run && self.call.is_none_or(|chosen| chosen == *call) && *happened == self.happened
            }
            _ => false,
        }
    }

    fn told(&self, resolved: &Recovered) -> Done {
        if self.json {
            print::json(resolved)?;
        } else {
            print_run(resolved);
        }
        Ok(warn(resolved))
    }
}

fn print_run(run: &Recovered) {
    say!("{}  {}", run.run, run.state);
    say!("because   {}", print::word(&run.detail));
    print_steps(&run.reverted, "undone");
}
