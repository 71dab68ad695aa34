//! Budgets: how much of one is used within the hour, of how much, and when there is room again.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use remit_journal::{Reader, Spent};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use serde::Serialize;

use super::spent::{Counted, HOUR, spent, with_spent};
use super::{RequestState, Rules, StandingScope};
use crate::Error;
use crate::timeline::second;

/// One budget of a standing scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// How many runs or changes of the past hour count against the limit now.
    pub used: u64,
    /// How much there may be within an hour.
    pub limit: u64,
    /// When one more has room, where there is none now.
    pub free_again: Option<Timestamp>,
}

/// Both budgets of a standing scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budgets {
    /// The budget of runs that started.
    pub runs: Budget,
    /// The budget of changes that these runs made and that were not undone.
    pub changes: Budget,
}

/// Whether there is room in a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Now,
    /// From then on, if nothing more is used meanwhile.
    From(Timestamp),
    /// However long one waits: it is more than the budget.
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

/// When what counts since `at` counts no more: to the second, and not a moment too early.
fn forgotten(at: Timestamp) -> Timestamp {
    let end = at.checked_add(HOUR).unwrap_or(Timestamp::MAX);
    end.checked_add(SignedDuration::from_secs(1)).map_or(end, second)
}

/// Whether `wanted` more have room beside `uses`, oldest first, each with how many it was.
fn room(uses: &[(Timestamp, u64)], limit: u64, wanted: u64) -> Room {
    let Some(allowed) = limit.checked_sub(wanted) else { return Room::Never };
    let mut left: u64 = uses.iter().map(|(_, count)| count).sum();
    if left <= allowed {
        return Room::Now;
    }
    for (at, count) in uses {
        left -= count;
        if left <= allowed {
            return Room::From(forgotten(*at));
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

/// What is used of the budgets of a standing scope.
pub fn budgets(reader: &Reader, case: &RequestState, standing: &StandingScope) -> Result<Budgets, Error> {
    let changes = spent(reader, |spent| spent.of_request(case.request.id))?;
    let runs: Vec<(Timestamp, u64)> = changes.iter().map(|(at, _)| (*at, 1)).collect();
    Ok(Budgets {
        runs: Budget::of(&runs, u64::from(standing.runs_per_hour)),
        changes: Budget::of(&changes, standing.changes_per_hour),
    })
}

/// Whether one more run of so many changes has room in the budgets of a standing scope; why not, if it has none.
pub(super) fn has_room(
    reader: &Reader,
    case: &RequestState,
    standing: &StandingScope,
    wanted: u64,
) -> Result<Result<(), String>, Error> {
    let uses = spent(reader, |spent| spent.of_request(case.request.id))?;
    let runs: Vec<(Timestamp, u64)> = uses.iter().map(|(at, _)| (*at, 1)).collect();
    let limit = u64::from(standing.runs_per_hour);
    match room(&runs, limit, 1) {
        Room::Now => {}
        none => {
            let used = runs.len();
            return Ok(Err(format!("its budget of {limit} run(s) an hour is spent: {used} used, {none}")));
        }
    }
    // A run that changes nothing needs no room for changes.
    match room(&uses, standing.changes_per_hour, wanted) {
        none @ (Room::From(_) | Room::Never) if wanted > 0 => {
            let used: u64 = uses.iter().map(|(_, count)| count).sum();
            let limit = standing.changes_per_hour;
            Ok(Err(format!(
                "its budget of {limit} change(s) an hour would be overdrawn: {used} used, it would make {wanted}; {none}"
            )))
        }
        _ => Ok(Ok(())),
    }
}

/// When a start that the policies refuse now has room in the budgets that they speak of; none if it is not refused, or for
/// another reason than what was changed lately.
pub(super) fn room_by_policies(
    reader: &Reader,
    rules: &Rules,
    who: &Subject,
    matter: &PolicyRequest,
    of: &Counted<'_>,
    approvers: &[Subject],
) -> Result<Option<Room>, Error> {
    let ask = |matter: &PolicyRequest| {
        rules.policies.may(who, PolicyAction::Trigger, Some(matter), Timestamp::now(), approvers)
    };
    let now = ask(matter);
    if now.allowed || !now.because.iter().any(|name| rules.policies.is_budget(name)) {
        return Ok(None);
    }
    let later = |spent: &Spent| ask(&with_spent(matter.clone(), spent, of));
    spent(reader, |spent| {
        let nothing = later(&spent.after(Timestamp::MAX));
        if !nothing.allowed {
            return nothing.because.iter().any(|name| rules.policies.is_budget(name)).then_some(Room::Never);
        }
        let starts = spent.starts();
        // What is allowed once some runs count no more is allowed once more of them do not.
        let first = starts.partition_point(|at| !later(&spent.after(*at)).allowed);
        starts.get(first).map(|at| Room::From(forgotten(*at)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-29T{text}Z").parse().unwrap()
    }

    fn uses() -> Vec<(Timestamp, u64)> {
        vec![(at("10:00:00.5"), 2), (at("10:10:00"), 0), (at("10:20:00"), 3)]
    }

    #[test]
    fn there_is_room_up_to_the_limit_and_not_beyond() {
        for (limit, wanted, expected) in [
            (6, 1, Room::Now),
            (5, 0, Room::Now),
            // Never told before it is so: the run of half past counts until then.
            (5, 1, Room::From(at("11:00:01"))),
            (4, 1, Room::From(at("11:00:01"))),
            (4, 2, Room::From(at("11:20:01"))),
            (3, 1, Room::From(at("11:20:01"))),
            (3, 3, Room::From(at("11:20:01"))),
            (3, 4, Room::Never),
            (0, 1, Room::Never),
        ] {
            assert_eq!(room(&uses(), limit, wanted), expected, "{wanted} of {limit}");
        }
        assert_eq!(room(&[], 1, 1), Room::Now);
        assert_eq!(room(&[], 0, 0), Room::Now);
    }

    #[test]
    fn a_budget_says_used_limit_and_when_free_again() {
        let spent = Budget::of(&uses(), 5);
        assert_eq!(spent, Budget { used: 5, limit: 5, free_again: Some(at("11:00:01")) });
        assert_eq!(spent.to_string(), "5 of 5 used, free again at 2026-11-29T11:00:01Z");
        assert_eq!(Budget::of(&uses(), 9).to_string(), "5 of 9 used");
        assert_eq!(Budget::of(&[], 0), Budget { used: 0, limit: 0, free_again: None });
    }

    #[test]
    fn what_is_told_comes_after_the_moment() {
        for text in ["10:00:00", "10:00:00.000000001", "10:00:00.999999999"] {
            let end = at(text).checked_add(HOUR).unwrap();
            assert!(forgotten(at(text)) > end, "{text}");
            assert!(forgotten(at(text)) <= end + SignedDuration::from_secs(1), "{text}");
        }
        assert_eq!(forgotten(Timestamp::MAX), Timestamp::MAX);
    }
}
