//! `remit requests`.

use clap::Args;
use remit_lifecycle::{Home, RequestState, RequestView, RequestsView, Status, frozen, waiting_for_room};

use super::common::Done;
use super::listing::{Cut, Times, Watch, age, left, letters, short, since, table, tell_frozen};
use super::request::headline;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit requests --all\n  remit requests --state waiting --watch\n  remit requests --all --principal bot --since 7d\n\nThe beginning of a name is enough, wherever a request is named."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Requests {
    /// Also those that give no authority any more, and whatever was revoked or frozen.
    #[arg(long)]
    all: bool,
    /// Only those in this state. May be repeated.
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Vec<String>,
    /// Only those made since then: a time, or an age such as 2h or 7d.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only those for actions of this name.
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Only those that this one asked for, or may start.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only those that give authority, or may yet: as without --all.
    #[arg(long, conflicts_with = "all")]
    live: bool,
    /// Cut only what is longer than 600 columns.
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    times: Times,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

const STATES: [&str; 6] = ["waiting", "approved", "used", "closed", "expired", "forbidden"];

impl Requests {
    pub(crate) async fn run(self, home: &Home) -> Done {
        self.watch.tell(home, || self.tell(home)).await
    }

    fn wants(&self, case: &RequestState, status: &Status) -> bool {
        let live = matches!(status, Status::Waiting(_) | Status::Approved);
        let request = &case.request;
        (live || self.all || (!self.live && !self.state.is_empty()))
            && (self.state.is_empty() || self.state.iter().any(|wanted| wanted == status.name()))
            && self.action.as_ref().is_none_or(|name| request.action_name() == *name)
            && self.principal.as_ref().is_none_or(|name| {
                request.requester == *name || request.triggers.iter().any(|trigger| trigger == name)
            })
    }

    fn tell(&self, home: &Home) -> Done {
        let (rules, reader) = (home.rules()?, home.reader()?);
        let since = self.since.as_deref().map(since).transpose()?;
        let all = reader.requests()?;
        let letters = letters(&all);
        let mut rows = Vec::new();
        let mut cases = Vec::new();
        for id in all {
            if since.is_some_and(|since| id.made() < since) {
                continue;
            }
            let case = match RequestState::load(&reader, &rules, id) {
                Ok(case) => case,
                Err(error) if self.all => {
                    print::warn(&format!("note: {error}"));
                    continue;
                }
                Err(_) => continue,
            };
            let status = case.status(&rules);
            if !self.wants(&case, &status) {
                continue;
            }
            let waits = match status {
                Status::Approved => waiting_for_room(&reader, &rules, &case)?,
                _ => Vec::new(),
            };
            let request = &case.request;
            rows.push(vec![
                short(id, letters),
                headline(&status) + if waits.is_empty() { "" } else { ", waits for a budget" },
                request.action_words(),
                request.targets().join(", "),
                request.requester.clone(),
                request.reason.clone(),
                age(request.not_before),
                left(request.not_after),
            ]);
            cases.push((case, status, waits));
        }
        let frozen = frozen(&reader)?;
        let orders = if self.all { remit_lifecycle::orders(&reader)? } else { Vec::new() };
        if self.json {
            let requests = cases
                .iter()
                .map(|(case, status, waits)| RequestView::listed(case, status.clone(), waits.clone()));
            print::json(&RequestsView { requests: requests.collect(), orders, frozen })?;
            return Ok(0);
        }
        tell_frozen(frozen.as_ref(), self.times);
        if rows.is_empty() {
            if orders.is_empty() {
                say!(
                    "no request waits or may be used{}",
                    if self.all { "" } else { " (--all lists the others)" }
                );
            }
        } else {
            let head = [
                ("request", Cut::Not),
                ("state", Cut::May),
                ("action", Cut::May),
                ("target", Cut::May),
                ("asked by", Cut::May),
                ("why", Cut::May),
                ("age", Cut::Not),
                ("ends in", Cut::Not),
            ];
            table(&head, rows, self.wide);
        }
        for order in orders {
            say!("{}", print::word(&order));
        }
        Ok(0)
    }
}
