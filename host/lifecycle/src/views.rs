//! What is told of requests, runs and orders: the shapes of `docs/json/remit.schema.json`.

use jiff::Timestamp;
use remit_journal::{Reader, Record, RunId, RunState};
use remit_policy::Need;
use remit_sandbox::Consumed;
use remit_trust::Digest;
use remit_trust::principals::{PrincipalKind, Principals};
use serde::Serialize;
use serde_json::Value;

use crate::authority::{differences, waiting_for_room};
use crate::notify::Delivery;
use crate::revert::{Reverted, Step};
use crate::run::Finished;
use crate::status::Frozen;
use crate::timeline::Timeline;
use crate::{Error, Given, Powers, Request, RequestState, Rules, Status};

/// A request and where it stands.
#[derive(Debug, Serialize)]
pub struct RequestView<'a> {
    /// As signed.
    pub request: &'a Request,
    /// What it would touch.
    pub target: Vec<String>,
    /// Every power that it would give.
    pub powers: Powers,
    /// Of the request as signed.
    pub digest: Digest,
    /// Where it stands, in one word.
    pub status: &'static str,
    /// Why it gives no authority, if it does not.
    pub why: Option<String>,
    /// Which approvals are missing.
    pub missing: Vec<MissingView>,
    /// Who approved.
    pub approvals: Vec<ApprovalView<'a>>,
    /// How many runs have started under it.
    pub started: u32,
    /// What differs from the last run of this action; nothing in a list.
    pub differs: Vec<String>,
    /// Why it could not start now although it may be used: a budget.
    pub waits_for_room: Vec<String>,
}

/// Approvals that are missing.
#[derive(Debug, Serialize)]
pub struct MissingView {
    /// Which policy asks for them.
    pub policy: String,
    /// How many, and whose: `2 humans of security`.
    pub needs: String,
    /// How many of them are missing.
    pub missing: usize,
}

/// An approval.
#[derive(Debug, Serialize)]
pub struct ApprovalView<'a> {
    /// Who.
    pub principal: &'a str,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: &'a str,
    /// Whether it counts.
    pub counts: bool,
    /// Why not, if it does not.
    pub why_not: Option<&'a str>,
}

impl<'a> RequestView<'a> {
    /// All that is told of one request.
    pub fn of(reader: &Reader, rules: &Rules, case: &'a RequestState) -> Result<Self, Error> {
        let waits = waiting_for_room(reader, rules, case)?;
        Ok(Self { differs: differences(reader, case)?, ..Self::listed(case, case.status(rules), waits) })
    }

    /// What is told of it in a list.
    #[must_use]
    pub fn listed(case: &'a RequestState, status: Status, waits_for_room: Vec<String>) -> Self {
        let name = status.name();
        let missing = |(need, missing): (Need, usize)| MissingView {
            needs: need.to_string(),
            policy: need.policy,
            missing,
        };
        let (missing, why) = match status {
            Status::Waiting(lacks) => (lacks.needs.into_iter().map(missing).collect(), None),
            Status::Closed(why) | Status::Forbidden(why) => (Vec::new(), Some(why)),
            _ => (Vec::new(), None),
        };
        let approval = |given: &'a Given| ApprovalView {
            principal: &given.approval.principal,
            at: given.approval.at,
            reason: &given.approval.reason,
            counts: given.counts.is_ok(),
            why_not: given.counts.as_ref().err().map(String::as_str),
        };
        Self {
            request: &case.request,
            target: case.request.targets(),
            powers: case.request.powers(),
            digest: case.digest,
            status: name,
            why,
            missing,
            approvals: case.approvals.iter().map(approval).collect(),
            started: case.started,
            differs: Vec::new(),
            waits_for_room,
        }
    }
}

/// Requests, and what was ordered about this host.
#[derive(Debug, Serialize)]
pub struct RequestsView<'a> {
    /// Each.
    pub requests: Vec<RequestView<'a>>,
    /// Orders, a line each.
    pub orders: Vec<String>,
    /// Who stopped everything, if anybody did.
    pub frozen: Option<Frozen>,
}

/// How a run ended.
#[derive(Debug, Serialize)]
pub struct RunView<'a> {
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
    /// What the action returned.
    pub output: Option<&'a Value>,
    /// Whether what the action said is sealed.
    pub sealed: bool,
    /// Why it did not succeed.
    pub cause: Option<String>,
    /// What was taken back.
    pub reverted: Option<&'a Reverted>,
    /// What it used.
    pub consumed: Consumed,
}

impl<'a> From<&'a Finished> for RunView<'a> {
    fn from(finished: &'a Finished) -> Self {
        Self {
            run: finished.run,
            state: finished.state,
            output: finished.output.as_ref(),
            sealed: finished.sealed,
            cause: finished.cause.as_ref().map(ToString::to_string),
            reverted: finished.reverted.as_ref(),
            consumed: finished.consumed,
        }
    }
}

/// What came of a revert.
#[derive(Debug, Serialize)]
pub struct RevertView<'a> {
    /// The run.
    pub run: RunId,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// The state that the run has now, or would have.
    pub state: RunState,
    /// Each change that was looked at.
    pub steps: &'a [Step],
    /// Those that were not.
    pub left: &'a [String],
}

impl Reverted {
    /// What is told of it.
    #[must_use]
    pub fn view(&self, run: RunId, dry_run: bool) -> RevertView<'_> {
        RevertView { run, dry_run, state: self.state(), steps: &self.steps, left: &self.left }
    }
}

/// Authority was taken away.
#[derive(Debug, Serialize)]
pub struct RevokedView<'a> {
    /// Of what kind of thing: `request`, `principal`, `key`, `action`, `all`.
    pub revoked: &'a str,
    /// Which.
    pub name: &'a str,
    /// The runs that stop at their next call.
    pub stopping: &'a [RunId],
}

/// Everything was stopped, or may go on.
#[derive(Debug, Serialize)]
pub struct FrozenView<'a> {
    /// Whether it is.
    pub frozen: bool,
    /// The runs that stop at their next call.
    pub stopping: &'a [RunId],
}

/// A run that went without the usual policy was reviewed.
#[derive(Debug, Serialize)]
pub struct ReviewedView {
    /// Which.
    pub reviewed: RunId,
}

/// What came of telling.
#[derive(Debug, Serialize)]
pub struct DeliveryView<'a> {
    /// Events that were delivered, each with the notifier.
    pub told: &'a [(String, String)],
    /// Why the others were not.
    pub failed: Vec<String>,
}

impl Delivery {
    /// What is told of it.
    #[must_use]
    pub fn view(&self) -> DeliveryView<'_> {
        DeliveryView { told: &self.told, failed: self.failed.iter().map(ToString::to_string).collect() }
    }
}

/// A key of a principal.
#[derive(Debug, Serialize)]
pub struct PrincipalView<'a> {
    /// Whose.
    pub name: &'a str,
    /// What kind of principal.
    pub kind: PrincipalKind,
    /// The groups it is in.
    pub groups: Vec<&'a str>,
    /// The key's id.
    pub key: String,
    /// Whether the key counts now.
    pub in_force: bool,
    /// From when on.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
}

impl<'a> PrincipalView<'a> {
    /// Every key of every principal.
    #[must_use]
    pub fn all(principals: &'a Principals) -> Vec<Self> {
        let now = Timestamp::now();
        let keys = principals.iter().flat_map(|principal| {
            principal.keys.iter().map(move |held| (principal, held, principals.in_force(&held.key.id(), now)))
        });
        let view = keys.map(|(principal, held, in_force)| Self {
            name: &principal.name,
            kind: principal.kind,
            groups: principal.groups.iter().map(String::as_str).collect(),
            key: held.key.id().to_string(),
            in_force,
            from: held.from,
            until: held.until,
        });
        view.collect()
    }
}

/// The story of a run, and every record.
#[derive(Debug, Serialize)]
pub struct StoryView<'a> {
    /// The run.
    pub run: RunId,
    /// The digested story.
    pub story: &'a Timeline,
    /// Each record as it is, with its number.
    pub records: Vec<NumberedRecord<'a>>,
}

/// A record with its number.
#[derive(Debug, Serialize)]
pub struct NumberedRecord<'a> {
    /// As journaled.
    #[serde(flatten)]
    pub record: &'a Record,
    /// Its number.
    pub seq: u64,
}

impl<'a> StoryView<'a> {
    /// Of a run.
    #[must_use]
    pub fn of(run: RunId, story: &'a Timeline, records: &'a [(u64, Record)]) -> Self {
        let records = records.iter().map(|(seq, record)| NumberedRecord { record, seq: *seq });
        Self { run, story, records: records.collect() }
    }
}
