//! `remit revert`.

use clap::Args;
use remit_journal::{RunId, RunState, UndoResult};
use remit_lifecycle::{Order, OrderKind, Reverted, prepare_revert, preview_revert, undo_words};

use serde::Deserialize;
use serde_json::json;

use super::common::{Done, open, usage};
use super::listing::called;
use super::signing::{Signing, SigningResult};
use crate::place::{Place, Query, Server};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit revert run-01jd2m4k9x8s7t6v5w4y3z2a1b --dry-run\n  remit revert 01jd2m --reason 'wrong key'      the beginning of the name is enough\n\nNeeds no grant. A change is undone only if the live state still is what the run left. The revert stops at the first change for which it is not. Reverting twice is harmless."
)]
pub(crate) struct Revert {
    /// The run, or the beginning of its name.
    run: String,
    /// Only show what would be undone.
    #[arg(long, conflicts_with_all = ["prepare", "signed"])]
    dry_run: bool,
    /// Skip changes that cannot be undone, instead of stopping at the first.
    #[arg(long)]
    keep_going: bool,
    /// The reason, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Revert {
    pub(crate) async fn run(self, place: &Place) -> Done {
        if let Some(server) = place.server()? {
            let (run, _) = server.run(&self.run)?;
            return match self.at(&server, run).await? {
                Some(reverted) => self.told(run, &reverted),
                None => Ok(0),
            };
        }
        let home = place.home()?;
        let run = home.reader()?.find(&self.run)?;
        let reverted = if self.dry_run {
            // Needs no key, and recovers no run.
            preview_revert(&home.open()?, run, self.keep_going).await?
        } else {
            let host = open(home).await?;
            let keep_going = self.keep_going;
            let prepare = async |by: &_| prepare_revert(&host, by, run, keep_going, self.reason.as_deref());
            let again = format!("remit revert {run}{}", if keep_going { " --keep-going" } else { "" });
            let is_it = |what: &_| *what == OrderKind::Revert { run, keep_going };
            let SigningResult::Signed(by) = self.signing.actor(&host, &again, prepare, is_it).await? else {
                return Ok(0);
            };
            remit_lifecycle::revert(&host, &by, run, keep_going).await?
        };
        self.told(run, &reverted)
    }

    /// The same through a server; none if the order was only prepared.
    async fn at(&self, server: &Server, run: RunId) -> Done<Option<Reverted>> {
        #[derive(Deserialize)]
        struct Ordered {
            result: Reverted,
        }
        let keep_going = self.keep_going;
        if self.dry_run {
            let mut query = Query::default();
            query.flag("keep_going", keep_going);
            return Ok(Some(server.get(&format!("/api/v1/runs/{run}/revert{query}"))?));
        }
        let Some(reason) = &self.reason else {
            let why = "an order through a server has a reason".to_owned();
            return Err(usage(why, "say why: --reason TEXT"));
        };
        let order = json!({"revert": {"run": run, "keep_going": keep_going}});
        let mut body = json!({"reason": reason, "order": order});
        let is_it = |signed: &Order| {
            let same = signed.order == OrderKind::Revert { run, keep_going };
            if same { Ok(()) } else { Err("it orders something else".to_owned()) }
        };
        let again = format!("remit revert {run}{}", if keep_going { " --keep-going" } else { "" });
        let prepare = ("/api/v1/orders/prepare", &mut body);
        let SigningResult::Signed(signed) = self.signing.at_server(server, &again, prepare, is_it).await?
        else {
            return Ok(None);
        };
        Ok(Some(server.submit::<Ordered>("/api/v1/orders", &signed)?.result))
    }

    /// Prints what was undone, or would be.
    fn told(&self, run: RunId, reverted: &Reverted) -> Done {
        let state = reverted.state();
        if self.json {
            print::json(&reverted.view(run, self.dry_run))?;
        } else {
            say!("{run}  {}{state}", if self.dry_run { "would be " } else { "" });
            print_steps(reverted, if self.dry_run { "would be undone" } else { "undone" });
        }
        if state == RunState::Reverted {
            return Ok(0);
        }
        let help = match state {
            RunState::InDoubt => format!(
                "look at the live system; then `remit resolve {run}`, or `remit revert {run}` again once its system answers"
            ),
            _ => format!(
                "compare the live system with `remit show {run}`; what is left is for a person to decide{}",
                if self.keep_going { "" } else { " (`--keep-going` skips it)" }
            ),
        };
        print::warn(&format!(
            "error: not every change {} be undone\n help: {help}",
            if self.dry_run { "can" } else { "could" }
        ));
        Ok(5)
    }
}

/// Prints what became of each change. `undone` is the text for a change that was undone.
pub(crate) fn print_steps(reverted: &Reverted, undone: &str) {
    let rows: Vec<_> = reverted
        .steps
        .iter()
        .map(|step| {
            let (operation, with) = called(&step.operation, &step.arguments);
            vec![
                format!("undo #{}", step.call),
                operation,
                step.resource.clone(),
                step.found.as_ref().map(|found| format!("back to: {found}")).unwrap_or_default(),
                match &step.result {
                    UndoResult::Undone => undone.to_owned(),
                    other => undo_words(other).to_string(),
                },
                with,
            ]
        })
        .chain(reverted.left.iter().map(|left| vec!["not tried".to_owned(), left.clone()]))
        .collect();
    print::table(2, &rows);
}
