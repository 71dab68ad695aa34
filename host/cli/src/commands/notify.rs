//! `remit notify`.

use clap::Args;
use remit_lifecycle::{Home, expire, notify};
use serde_json::json;

use super::{Done, open};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example, from a timer:\n  remit notify\n\nEvery command that acts tells once what there is to tell; this goes on where that failed, and finds what expired."
)]
pub(crate) struct Notify {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Notify {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let host = open(home).await?;
        expire(&host, &home.rules()?).await?;
        let delivery = notify(&host).await?;
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
