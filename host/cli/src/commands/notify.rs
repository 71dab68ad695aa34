//! `remit notify`.

use std::time::Duration;

use clap::Args;
use remit_lifecycle::{Home, expire, give_up, notify};
use serde_json::json;

use super::{Done, Key, open};
use crate::print::{self, say};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(
    after_help = "Example, from a timer:\n  remit notify\n\nEvery command that acts tells once what there is to tell; this goes on where that failed, and finds what expired.\nIt needs no key; to give up telling somebody something does:\n  remit notify --give-up pager --reason 'that address is gone' --key alice.key"
)]
pub(crate) struct Notify {
    /// Pass over the first event that waits for this notifier: its receiver will never take it.
    #[arg(long, value_name = "NAME", requires = "reason")]
    give_up: Option<String>,
    /// With --give-up: why, for the record.
    #[arg(long, value_name = "TEXT", requires = "give_up")]
    reason: Option<String>,
    #[command(flatten)]
    key: Key,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Notify {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let by = self.give_up.is_some().then(|| self.key.actor(home)).transpose()?;
        let host = open(home).await?;
        if let (Some(name), Some(by)) = (&self.give_up, &by) {
            match give_up(&host, by, name, self.reason.as_deref().unwrap_or_default()).await? {
                Some(event) => say!("given up  {name}  {event}"),
                None => say!("nothing waits for {}", print::word(name)),
            }
        }
        expire(&host, &home.rules()?).await?;
        let delivery = notify(&host, PATIENCE).await?;
        if self.json {
            let failed: Vec<String> = delivery.failed.iter().map(ToString::to_string).collect();
            print::json(&json!({"told": delivery.told, "failed": failed}))?;
        } else {
            for (name, event) in &delivery.told {
                say!("told      {name}  {event}");
            }
            if delivery.told.is_empty() && delivery.failed.is_empty() {
                say!("nothing waits to be told");
            }
        }
        let code = delivery.failed.iter().map(|error| print::error(error)).max();
        Ok(code.unwrap_or(0))
    }
}
