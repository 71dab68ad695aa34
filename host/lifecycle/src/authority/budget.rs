//! Budgets: how much was used within the past hour, how much is allowed, and from when on there is room again.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use remit_journal::{Reader, Spent};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use serde::{Deserialize, Serialize};

use super::rules::subject;
use super::spent::{Counted, HOUR, spent, with_spent};
use super::{Request, RequestState, RequestedAuthority, Rules, StandingScope};
use crate::Error;
use crate::time::second;

/// One budget of a standing scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How many runs or changes of the past hour count against the limit now.
    pub used: u64,
    /// How much there may be within an hour.
    pub limit: u64,
    /// From when on there is room for one more; none if there is room now, or never.
    pub free_again: Option<Timestamp>,
}

/// Both budgets of a standing scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budgets {
    /// The budget of runs that started.
    pub runs: Budget,
    /// The budget of changes that these runs made and that were not undone.
    pub changes: Budget,
}

/// Whether there is room in a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Now,
    /// From this time on, if nothing more is used meanwhile.
    From(Timestamp),
    /// It is more than the whole budget, so waiting does not help.
    Never,
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("there is room"),
            Self::From(at) => write!(f, "free again at {at}"),
            Self::Never => f.write_str("it is more than a whole hour's budget: waiting does not help"),
        }
    }
}

/// When a use at `at` counts no more, rounded up to the second so that nobody is told too early.
fn counts_until(at: Timestamp) -> Timestamp {
    let end = at.checked_add(HOUR).unwrap_or(Timestamp::MAX);
    end.checked_add(SignedDuration::from_secs(1)).map_or(end, second)
}

/// Whether there is room for `wanted` more beside `uses`: the time and number of each use, the oldest first.
fn room(uses: &[(Timestamp, u64)], limit: u64, wanted: u64) -> Room {
    let Some(allowed) = limit.checked_sub(wanted) else { return Room::Never };
    let mut left: u64 = uses.iter().map(|(_, count)| count).sum();
    if left <= allowed {
        return Room::Now;
    }
    for (at, count) in uses {
        left -= count;
        if left <= allowed {
            return Room::From(counts_until(*at));
        }
    }
    Room::Never
}

impl Budget {
    fn of(uses: &[(Timestamp, u64)], limit: u64) -> Self {
        let free_again = match room(uses, limit, 1) {
            Room::From(at) => Some(at),
            Room::Now | Room::Never => None,
        };
        Self { used: uses.iter().map(|(_, count)| count).sum(), limit, free_again }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} used", self.used, self.limit)?;
        match self.free_again {
            Some(at) => write!(f, ", free again at {at}"),
            None => Ok(()),
        }
    }
}

/// How much of the budgets of a standing scope is used.
pub fn budgets(reader: &Reader, state: &RequestState, standing: &StandingScope) -> Result<Budgets, Error> {
    let changes = spent(reader, |spent| spent.of_request(state.request.id))?;
    let runs: Vec<(Timestamp, u64)> = changes.iter().map(|(at, _)| (*at, 1)).collect();
    Ok(Budgets {
        runs: Budget::of(&runs, u64::from(standing.runs_per_hour)),
        changes: Budget::of(&changes, standing.changes_per_hour),
    })
}

/// Whether the budgets of a standing scope have room for one more run with `wanted` changes; if not, why.
pub(crate) fn has_room(
    reader: &Reader,
    state: &RequestState,
    standing: &StandingScope,
    wanted: u64,
) -> Result<Result<(), String>, Error> {
    let uses = spent(reader, |spent| spent.of_request(state.request.id))?;
    let runs: Vec<(Timestamp, u64)> = uses.iter().map(|(at, _)| (*at, 1)).collect();
    let limit = u64::from(standing.runs_per_hour);
    match room(&runs, limit, 1) {
        Room::Now => {}
        room => {
            let used = runs.len();
            return Ok(Err(format!("its budget of {limit} run(s) an hour is spent: {used} used, {room}")));
        }
    }
    // A run that changes nothing needs no room for changes.
    match room(&uses, standing.changes_per_hour, wanted) {
        room @ (Room::From(_) | Room::Never) if wanted > 0 => {
            let used: u64 = uses.iter().map(|(_, count)| count).sum();
            let limit = standing.changes_per_hour;
            Ok(Err(format!(
                "its budget of {limit} change(s) an hour would be exceeded: {used} used, the run would make {wanted}; {room}"
            )))
        }
        _ => Ok(Ok(())),
    }
}

/// From when on the budgets in the policies have room for a start that the policies refuse now. None if they do not refuse
/// it, or refuse it for another reason.
pub(crate) fn room_by_policies(
    reader: &Reader,
    rules: &Rules,
    who: &Subject,
    request: &PolicyRequest,
    of: &Counted<'_>,
    approvers: &[Subject],
) -> Result<Option<Room>, Error> {
    let ask = |request: &PolicyRequest| {
        rules.policies.may(who, PolicyAction::Trigger, Some(request), Timestamp::now(), approvers)
    };
    let now = ask(request);
    if now.allowed || !now.because.iter().any(|name| rules.policies.is_budget(name)) {
        return Ok(None);
    }
    let later = |spent: &Spent| ask(&with_spent(request.clone(), spent, of));
    spent(reader, |spent| {
        let nothing = later(&spent.after(Timestamp::MAX));
        if !nothing.allowed {
            return nothing.because.iter().any(|name| rules.policies.is_budget(name)).then_some(Room::Never);
        }
        let starts = spent.starts();
        // A binary search: what is allowed without the first runs is allowed without more of them, too.
        let first = starts.partition_point(|at| !later(&spent.after(*at)).allowed);
        starts.get(first).map(|at| Room::From(counts_until(*at)))
    })
}

/// For each principal that may start a request now, the budget in the policies that prevents it: the principal's name,
/// when there is room, and what the policies say. Empty if one of the principals can start it.
pub(crate) fn waits(
    reader: &Reader,
    rules: &Rules,
    request: &Request,
    policy_request: &PolicyRequest,
    approvers: &[Subject],
) -> Result<Vec<(String, Room, String)>, Error> {
    let powers = request.powers();
    let mut waits = Vec::new();
    for name in &request.triggers {
        let Some(principal) = rules.principals.get(name) else { continue };
        let who = subject(&rules.principals, principal);
        let action = &policy_request.action_name;
        let of = Counted { requester: &request.requester, starter: name, action, powers: &powers };
        let start = spent(reader, |spent| with_spent(policy_request.clone(), spent, &of))?;
        let Some(room) = room_by_policies(reader, rules, &who, &start, &of, approvers)? else {
            return Ok(Vec::new());
        };
        let (action, now) = (PolicyAction::Trigger, Timestamp::now());
        let verdict = rules.policies.may(&who, action, Some(&start), now, approvers);
        waits.push((name.clone(), room, verdict.words()));
    }
    Ok(waits)
}

/// For each principal that may start an approved request, the budget in the policies that prevents it now, in words.
pub fn waiting_for_room(reader: &Reader, rules: &Rules, state: &RequestState) -> Result<Vec<String>, Error> {
    if state.request.break_glass || matches!(state.request.asks, RequestedAuthority::Standing(_)) {
        return Ok(Vec::new());
    }
    let waits = waits(reader, rules, &state.request, &state.policy_request, &state.approvers())?;
    Ok(waits.into_iter().map(|(name, room, why)| format!("{name}: {why}; {room}")).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
