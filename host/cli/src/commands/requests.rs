//! `remit requests`.

use clap::Args;
use remit_lifecycle::{Home, RequestState, RequestView, RequestsView, Status, frozen, waiting_for_room};

use super::common::Done;
use super::listing::{Cut, Times, Watch, age, left, letters, short, since, table, warn_if_frozen};
use super::request::headline;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit requests --all\n  remit requests --state waiting --watch\n  remit requests --all --principal bot --since 7d\n\nThe beginning of a name is enough, wherever a request is named."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Requests {
    /// Also requests that no longer give authority, and each order to revoke, freeze or unfreeze.
    #[arg(long)]
    all: bool,
    /// Only requests in this state. May be repeated.
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Vec<String>,
    /// Only requests made since then: a time, or an age such as 2h or 7d.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only requests for actions of this name.
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Only requests that this principal made, or under which it may start runs.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only requests that wait for approval or give authority, with --state too.
    #[arg(long, conflicts_with = "all")]
    live: bool,
    /// Cut texts only at 600 columns, not at the width of the terminal.
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    times: Times,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const STATES: [&str; 6] = ["waiting", "approved", "used", "closed", "expired", "forbidden"];

impl Requests {
    pub(crate) async fn run(self, home: &Home) -> Done {
        self.watch.run(home, || self.print(home)).await
    }

    fn selects(&self, request: &RequestState, status: &Status) -> bool {
        let live = matches!(status, Status::Waiting(_) | Status::Approved);
        let request = &request.request;
        (live || self.all || (!self.live && !self.state.is_empty()))
            && (self.state.is_empty() || self.state.iter().any(|wanted| wanted == status.name()))
            && self.action.as_ref().is_none_or(|name| request.action_name() == *name)
            && self.principal.as_ref().is_none_or(|name| {
                request.requester == *name || request.triggers.iter().any(|trigger| trigger == name)
            })
    }

    fn print(&self, home: &Home) -> Done {
        let (rules, reader) = (home.rules()?, home.reader()?);
        let since = self.since.as_deref().map(since).transpose()?;
        let all = reader.requests()?;
        let letters = letters(&all);
        let mut rows = Vec::new();
        let mut found = Vec::new();
        for id in all {
            if since.is_some_and(|since| id.made() < since) {
                continue;
            }
            let state = match RequestState::load(&reader, &rules, id) {
                Ok(state) => state,
                Err(error) if self.all => {
                    print::warn(&format!("note: {error}"));
                    continue;
                }
                Err(_) => continue,
            };
            let status = state.status(&rules);
            if !self.selects(&state, &status) {
                continue;
            }
            let waits = match status {
                Status::Approved => waiting_for_room(&reader, &rules, &state)?,
                _ => Vec::new(),
            };
            let request = &state.request;
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
            found.push((state, status, waits));
        }
        let frozen = frozen(&reader)?;
        let orders = if self.all { remit_lifecycle::orders(&reader)? } else { Vec::new() };
        if self.json {
            let requests = found
                .iter()
                .map(|(state, status, waits)| RequestView::listed(state, status.clone(), waits.clone()));
            print::json(&RequestsView { requests: requests.collect(), orders, frozen })?;
            return Ok(0);
        }
        warn_if_frozen(frozen.as_ref(), self.times);
        if rows.is_empty() {
            if orders.is_empty() {
                say!(
                    "no request waits for approval or can be used{}",
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
