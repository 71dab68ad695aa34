//! Lists of requests and of runs. The command line and the server select with the same functions.

use jiff::Timestamp;
use remit_journal::{Mode, Reader, RequestId, RunFacts, RunState, RunSummary};

use crate::{
    Error, Host, Request, RequestState, RequestView, RequestsView, Rules, Status, frozen, waiting_for_room,
};

/// Which requests are listed.
#[derive(Clone, Debug, Default)]
pub struct RequestFilter {
    /// Also requests that give no authority any more.
    pub all: bool,
    /// Only requests that wait for approval or give authority, even if `state` names others.
    pub live: bool,
    /// Only requests in one of these states; any if it is empty.
    pub states: Vec<String>,
    /// Only requests that were made at this time or later.
    pub since: Option<Timestamp>,
    /// Only requests for actions of this name.
    pub action: Option<String>,
    /// Only requests that this principal made, or under which it may start runs.
    pub principal: Option<String>,
    /// Only requests that were made before this one.
    pub before: Option<RequestId>,
    /// At most so many; all if it is none.
    pub most: Option<usize>,
    /// Only these, newest first: [`Host::open_requests`], where only open ones are wanted. The others are not loaded then.
    pub among: Option<Vec<RequestId>>,
}

impl Host {
    /// What a filter has to look at, if it wants open requests only.
    pub fn among(
        &self,
        reader: &Reader,
        rules: &Rules,
        filter: RequestFilter,
    ) -> Result<RequestFilter, Error> {
        let is_open = |state: &String| matches!(state.as_str(), "waiting" | "approved");
        let open = if filter.states.is_empty() { !filter.all } else { filter.states.iter().all(is_open) };
        let among = (filter.live || open).then(|| self.open_requests(reader, rules));
        Ok(RequestFilter { among: among.transpose()?, ..filter })
    }
}

impl RequestFilter {
    fn selects(&self, request: &Request, status: &Status) -> bool {
        let live = matches!(status, Status::Waiting(_) | Status::Approved);
        (live || self.all || (!self.live && !self.states.is_empty()))
            && is_among(&self.states, status.name())
            && self.action.as_ref().is_none_or(|name| request.action_name() == *name)
            && self.principal.as_ref().is_none_or(|name| {
                request.requester == *name || request.triggers.iter().any(|trigger| trigger == name)
            })
    }

    /// The requests of the journal that it selects and that `sees` lets through, newest first. Also returns an error for each
    /// request that cannot be read.
    pub fn list(
        &self,
        reader: &Reader,
        rules: &Rules,
        sees: impl Fn(&Request) -> bool,
    ) -> Result<(RequestsView, Vec<Error>), Error> {
        let mut found = RequestsView {
            requests: Vec::new(),
            next: None,
            orders: if self.all { crate::orders(reader)? } else { Vec::new() },
            frozen: frozen(reader)?,
        };
        let mut unreadable = Vec::new();
        let all = match &self.among {
            Some(among) => among.clone(),
            None => reader.requests()?.into_iter().rev().collect(),
        };
        for id in all {
            if self.before.is_some_and(|before| id >= before) {
                continue;
            }
            if self.since.is_some_and(|since| id.made() < since) {
                break;
            }
            let state = match RequestState::load(reader, rules, id) {
                Ok(state) => state,
                Err(error) => {
                    unreadable.push(error);
                    continue;
                }
            };
            let status = state.status(rules);
            if !sees(&state.request) || !self.selects(&state.request, &status) {
                continue;
            }
            if self.most.is_some_and(|most| found.requests.len() >= most) {
                found.next = found.requests.last().map(|last| last.request.id);
                break;
            }
            let waits = match status {
                Status::Approved => waiting_for_room(reader, rules, &state)?,
                _ => Vec::new(),
            };
            found.requests.push(RequestView::listed(reader, rules, &state, status, waits)?);
        }
        Ok((found, unreadable))
    }
}

/// Which runs are listed.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only runs in one of these states; any if it is empty.
    pub states: Vec<String>,
    /// Only runs that started at this time or later.
    pub since: Option<Timestamp>,
    /// Only runs of actions of this name.
    pub action: Option<String>,
    /// Only runs that this principal asked for or started.
    pub principal: Option<String>,
    /// Only runs whose changes were real: no rehearsals.
    pub live: bool,
}

/// The state of a run that has none, in lists.
pub const UNFINISHED: &str = "unfinished";

impl RunFilter {
    /// Whether it selects this run.
    #[must_use]
    pub fn selects(&self, run: &RunSummary) -> bool {
        self.since.is_none_or(|since| run.at >= since) && self.selects_by(&run.facts())
    }

    /// The same without the time.
    #[must_use]
    pub fn selects_by(&self, run: &RunFacts) -> bool {
        is_among(&self.states, run.state.map_or(UNFINISHED, RunState::name))
            && self.action.as_ref().is_none_or(|name| run.action == *name)
            && self.principal.as_ref().is_none_or(|name| {
                run.principal == *name || run.started_by.as_ref().is_some_and(|by| by == name)
            })
            && (!self.live || run.mode == Mode::Live)
    }
}

fn is_among(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted == name)
}
