//! `remit notify`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use remit_lifecycle::{Home, OrderKind, expire, give_up, notify, prepare_give_up, remind};

use super::common::{Done, open};
use super::signing::{Signing, SigningResult};
use crate::print::{self, say};

/// The time for one delivery.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(
    group(ArgGroup::new("why").args(["reason", "signed"]).multiple(true)),
    mut_arg("prepare", |arg| arg.requires("give_up")),
    mut_arg("signed", |arg| arg.requires("give_up")),
    after_help = "Example, from a timer:\n  remit notify\n\nEvery command that acts tries once to send the events. This command sends those that failed, those of expired requests, and reminders of reviews. It needs no key, except to give up an event:\n  remit notify --give-up pager --reason 'that address is gone' --key alice.key"
)]
pub(crate) struct Notify {
    /// Give up the first event that waits for this notifier, because its receiver will never accept it.
    #[arg(long, value_name = "NAME", requires = "why")]
    give_up: Option<String>,
    /// With --give-up: the reason, for the record.
    #[arg(long, value_name = "TEXT", requires = "give_up")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Notify {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let host = open(home).await?;
        if let Some(name) = &self.give_up {
            let reason = self.reason.as_deref().unwrap_or_default();
            let prepare = async |by: &_| prepare_give_up(&host, by, name, reason);
            let is_it = |what: &_| matches!(what, OrderKind::GiveUp { notifier, .. } if notifier == name);
            let again = format!("remit notify --give-up {name}");
            let given_up = match self.signing.actor(&host, &again, prepare, is_it).await? {
                SigningResult::Signed(by) => give_up(&host, &by, name).await?,
                SigningResult::Nothing => None,
                SigningResult::Written => return Ok(0),
            };
            let result = match given_up {
                Some(event) => format!("given up  {name}  {event}"),
                None => format!("nothing waits for {}", print::word(name)),
            };
            // With --json, stdout has nothing but JSON.
            if self.json { print::warn(&result) } else { say!("{result}") }
        }
        expire(&host).await?;
        remind(&host).await?;
        let delivery = notify(&host, TIMEOUT).await?;
        if self.json {
            print::json(&delivery.view())?;
        } else {
            for (name, event) in &delivery.told {
                say!("told      {name}  {event}");
            }
            if delivery.told.is_empty() && delivery.failed.is_empty() {
                say!("no event waits to be sent");
            }
        }
        let code = delivery.failed.iter().map(|error| print::error(error)).max();
        Ok(code.unwrap_or(0))
    }
}
