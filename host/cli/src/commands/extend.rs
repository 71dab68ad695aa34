//! `remit extend`.

use clap::Args;
use jiff::Timestamp;
use remit_journal::RunId;
use remit_lifecycle::{ExtendedView, Order, OrderKind, prepare_extend, second};

use serde::Deserialize;
use serde_json::json;

use super::common::{Done, open, usage};
use super::signing::{Signing, SigningResult};
use crate::place::{Place, Server};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit extend 01jd2m --until 2h --reason 'still being looked at'\n  remit extend 01jd2m --until 2026-11-29T18:00:00Z --reason 'INC-9'\n\nOnly a person can, before the time is up, and at most to 30 days after the run's end."
)]
pub(crate) struct Extend {
    /// The run, or the beginning of its name.
    run: String,
    /// When the host undoes its changes: a time, or how long from now, such as 2h.
    #[arg(long, value_name = "WHEN", required_unless_present = "signed")]
    until: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A time, or how long from now.
fn when(text: &str) -> Done<Timestamp> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let after = remit_text::duration::parse(text);
    after.ok().and_then(|after| Timestamp::now().checked_add(after).ok()).ok_or_else(|| {
        usage(
            format!("`{}` is neither a time nor a duration", text.escape_debug()),
            "write a time like 2026-11-29T18:00:00Z, or how long from now, like 2h",
        )
    })
}

impl Extend {
    pub(crate) async fn run(self, place: &Place) -> Done {
        let asked = self.until.as_deref().map(when).transpose()?.map(second);
        if let Some(server) = place.server()? {
            return self.at(&server, asked).await;
        }
        let home = place.home()?;
        let run = home.reader()?.find(&self.run)?;
        let host = open(home).await?;
        let reason = self.reason.as_deref().unwrap_or_default();
        let prepare = async |by: &_| prepare_extend(&host, by, run, asked.unwrap_or_default(), reason);
        let again = format!("remit extend {run}");
        let mut until = asked.unwrap_or_default();
        let is_it = |what: &_| match what {
            OrderKind::Extend { run: of, until: to }
                if *of == run && asked.is_none_or(|asked| asked == *to) =>
            {
                until = *to;
                true
            }
            _ => false,
        };
        let SigningResult::Signed(by) = self.signing.actor(&host, &again, prepare, is_it).await? else {
            return Ok(0);
        };
        remit_lifecycle::extend(&host, &by, run, until, reason).await?;
        self.told(run, until)
    }

    /// The same through a server.
    async fn at(&self, server: &Server, asked: Option<Timestamp>) -> Done {
        #[derive(Deserialize)]
        struct Ordered {
            result: ExtendedView,
        }
        let (run, _) = server.run(&self.run)?;
        let reason = self.reason.as_deref().unwrap_or_default();
        let order = json!({"extend": {"run": run, "until": asked.unwrap_or_default()}});
        let mut body = json!({"reason": reason, "order": order});
        let is_it = |signed: &Order| match signed.order {
            OrderKind::Extend { run: of, until } if of == run && asked.is_none_or(|asked| asked == until) => {
                Ok(())
            }
            _ => Err("it orders something else".to_owned()),
        };
        let prepare = ("/api/v1/orders/prepare", &mut body);
        let again = format!("remit extend {run}");
        let SigningResult::Signed(signed) = self.signing.at_server(server, &again, prepare, is_it).await?
        else {
            return Ok(0);
        };
        let done: Ordered = server.submit("/api/v1/orders", &signed)?;
        self.told(done.result.run, done.result.until)
    }

    fn told(&self, run: RunId, until: Timestamp) -> Done {
        if self.json {
            print::json(&ExtendedView { run, until })?;
        } else {
            say!("extended  {run}");
            say!("until     {until}");
        }
        Ok(0)
    }
}
