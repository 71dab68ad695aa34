//! `remit requests`.

use clap::Args;
use remit_lifecycle::{Home, RequestFilter, RequestView, RequestsView};

use super::common::Done;
use super::listing::{Cut, Times, Watch, age, left, letters, short, since, table, warn_if_frozen};
use crate::place::{Place, Query, Server};
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
    pub(crate) async fn run(self, place: &Place) -> Done {
        match place.server()? {
            Some(server) => self.watch.run_at(&server, || self.print(self.at(&server)?, None)).await,
            None => {
                let home = place.home()?;
                self.watch.run(home, || self.here(home)).await
            }
        }
    }

    /// The list of a home.
    fn here(&self, home: &Home) -> Done {
        let (rules, reader) = (home.rules()?, home.reader()?);
        let filter = RequestFilter {
            all: self.all,
            live: self.live,
            states: self.state.clone(),
            since: self.since.as_deref().map(since).transpose()?,
            action: self.action.clone(),
            principal: self.principal.clone(),
            before: None,
            most: None,
            among: None,
        };
        let (found, unreadable) = filter.list(&reader, &rules, |_| true)?;
        for error in unreadable.iter().filter(|_| self.all) {
            print::warn(&format!("note: {error}"));
        }
        self.print(found, Some(letters(reader.requests()?)))
    }

    /// The list of a server, page by page.
    fn at(&self, server: &Server) -> Done<RequestsView> {
        let mut query = Query::default();
        query.flag("all", self.all).flag("live", self.live).value("action", self.action.as_deref());
        query.value("principal", self.principal.as_deref()).value("limit", Some("200"));
        let since = self.since.as_deref().map(since).transpose()?.map(|at| at.to_string());
        query.value("since", since.as_deref());
        let states = if self.state.is_empty() { vec![None] } else { self.state.iter().map(Some).collect() };
        let mut found: Option<RequestsView> = None;
        for state in states {
            let mut before: Option<String> = None;
            loop {
                let mut page = query.clone();
                page.value("state", state.map(String::as_str)).value("before", before.as_deref());
                let page = server.requests(&page)?;
                before = page.next.map(|next| next.to_string());
                match &mut found {
                    None => found = Some(page),
                    Some(found) => found.requests.extend(page.requests),
                }
                if before.is_none() {
                    break;
                }
            }
        }
        let mut found = found.unwrap_or_else(RequestsView::none);
        found.requests.sort_by_key(|view| std::cmp::Reverse(view.request.id));
        found.next = None;
        Ok(found)
    }

    /// Prints a list, the oldest first. `letters` is how many letters of a name tell it from all others.
    fn print(&self, mut found: RequestsView, letters: Option<usize>) -> Done {
        found.requests.reverse();
        if self.json {
            print::json(&found)?;
            return Ok(0);
        }
        warn_if_frozen(found.frozen.as_ref(), self.times);
        let row = |view: &RequestView| {
            let request = &view.request;
            let waits = if view.waits_for_room.is_empty() { "" } else { ", waits for a budget" };
            vec![
                letters.map_or_else(|| request.id.to_string(), |letters| short(request.id, letters)),
                view.headline() + waits,
                request.action_words(),
                view.target.join(", "),
                request.requester.clone(),
                request.reason.clone(),
                age(request.not_before),
                left(request.not_after),
            ]
        };
        let rows: Vec<_> = found.requests.iter().map(row).collect();
        if rows.is_empty() {
            if found.orders.is_empty() {
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
        for order in found.orders {
            say!("{}", print::word(&order));
        }
        Ok(0)
    }
}
