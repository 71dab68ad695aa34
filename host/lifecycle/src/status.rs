//! The status of a host, for an operator on call: what blocks it, what waits for whom, what is in progress, and what ends
//! soon.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use remit_journal::{About, Basis, LedgerEvent, Reader, RequestId, RestsOn, RunId, RunState, RunSummary};
use serde::{Deserialize, Serialize};

use crate::authority::{may_be_valid, subject, unreviewed_runs};
use crate::claim::Claim;
use crate::{
    Budgets, Error, Home, MissingApprovals, RequestState, RequestedAuthority, Rules, Status, budgets,
    waiting_for_room, who_may_approve,
};

/// A request for a run that ends within this time is reported.
const SOON: SignedDuration = SignedDuration::from_hours(4);
/// The same for standing scopes. It is longer, because a new one must be requested and approved.
const SOON_STANDING: SignedDuration = SignedDuration::from_hours(3 * 24);
/// The same for the validity of keys.
const SOON_KEY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Who froze the host, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The name of the principal that froze the host.
    pub by: String,
    /// When the host was frozen.
    pub at: Timestamp,
    /// The reason that the principal gave.
    pub reason: String,
}

/// A request that waits for approvals, or under which runs can start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Open {
    /// The request's identifier.
    pub request: RequestId,
    /// The action that the request is for, and its version: `rotate-secret 0.1.0`.
    pub action: String,
    /// The resources that it would change, or those it would read if it changes none.
    pub target: Vec<String>,
    /// The name of the requester.
    pub by: String,
    /// The reason that the request states.
    pub reason: String,
    /// When the request becomes valid.
    pub since: Timestamp,
    /// When the request expires.
    pub until: Timestamp,
    /// The approvals that are missing, each requirement in words; empty if none is.
    pub needs: Vec<String>,
    /// The principals whose approval would count; empty if no approval is missing.
    pub may_approve: Vec<String>,
    /// For a waiting request: whether approvals would still be missing if all of these principals approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_reach: bool,
    /// The names of the principals that may start runs under it.
    pub may_start: Vec<String>,
    /// Each budget that prevents a start now although the request is approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for_room: Vec<String>,
    /// For a standing scope: how much of its budgets is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
}

/// A request or key whose validity ends soon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ends {
    /// The kind of thing: `request`, `standing scope` or `key`.
    pub what: Cow<'static, str>,
    /// The request's identifier; of a key, the principal's name and the short key id.
    pub name: String,
    /// When its validity ends.
    pub at: Timestamp,
}

/// The status of a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostStatus {
    /// When the status was read.
    pub at: Timestamp,
    /// Who froze the host; none if it is not frozen.
    pub frozen: Option<Frozen>,
    /// Why the rules are not in force, so that no request or run is possible; none if they are in force.
    pub rules: Option<String>,
    /// Requests whose approvals are missing, oldest first.
    pub waiting: Vec<Open>,
    /// Approved requests for one run, under which a run can start.
    pub approved: Vec<Open>,
    /// Approved standing scopes that have not expired.
    pub standing: Vec<Open>,
    /// Runs in progress.
    pub going_on: Vec<RunSummary>,
    /// Runs whose host has stopped. The next start, or `remit recover`, brings them to a state.
    pub left_behind: Vec<RunSummary>,
    /// Runs whose state is [`RunState::InDoubt`].
    pub in_doubt: Vec<RunSummary>,
    /// Runs whose state is [`RunState::Held`].
    pub held: Vec<RunSummary>,
    /// Runs whose changes stand only for a while: the host undoes them, or calls people, when their time is up. The earliest
    /// first.
    pub contained: Vec<RunSummary>,
    /// Break-glass runs that nobody has reviewed yet.
    pub to_review: Vec<RunId>,
    /// Requests, standing scopes and keys whose validity ends soon, the earliest first.
    pub ends_soon: Vec<Ends>,
}

/// Who froze the host; none if it is not frozen.
pub fn frozen(reader: &Reader) -> Result<Option<Frozen>, Error> {
    let thaw = RestsOn { basis: Basis::Thaw, since: 0 };
    let Some(revoked) = reader.struck(&[thaw])? else { return Ok(None) };
    for (_, act) in reader.acts(About::Host)?.into_iter().rev() {
        if let LedgerEvent::Frozen(statement) = act.event {
            return Ok(Some(Frozen { by: statement.principal, at: act.at, reason: statement.reason }));
        }
    }
    // The journal's table says that the host is frozen, and no record does. The audit reports that, and the host counts as
    // frozen.
    Ok(Some(Frozen { by: "nobody on record".to_owned(), at: Timestamp::UNIX_EPOCH, reason: revoked.why }))
}

/// The runs that are in progress, or that need somebody.
#[derive(Default)]
pub(crate) struct OpenRuns {
    pub(crate) going_on: Vec<RunSummary>,
    /// Runs without a state whose host is gone.
    pub(crate) left_behind: Vec<RunSummary>,
    pub(crate) in_doubt: Vec<RunSummary>,
    pub(crate) held: Vec<RunSummary>,
    /// Runs for which the host does something by itself later.
    pub(crate) contained: Vec<RunSummary>,
}

impl OpenRuns {
    pub(crate) fn read(home: &Home, reader: &Reader) -> Result<Self, Error> {
        let mut open = Self::default();
        for run in reader.runs()? {
            if run.restore_at.is_some() || run.page_at.is_some() {
                open.contained.push(run.clone());
            }
            match run.state {
                None if Claim::is_held(home, run.run)? => open.going_on.push(run),
                None => open.left_behind.push(run),
                Some(RunState::InDoubt) => open.in_doubt.push(run),
                Some(RunState::Held) => open.held.push(run),
                Some(_) => {}
            }
        }
        open.contained.sort_by_key(|run| run.restore_at.into_iter().chain(run.page_at).min());
        Ok(open)
    }
}

/// Reads the status of a home. Changes nothing.
pub fn status(home: &Home, reader: &Reader) -> Result<HostStatus, Error> {
    let now = Timestamp::now();
    let OpenRuns { going_on, left_behind, in_doubt, held, contained } = OpenRuns::read(home, reader)?;
    let mut status = HostStatus {
        at: now,
        frozen: frozen(reader)?,
        rules: None,
        waiting: Vec::new(),
        approved: Vec::new(),
        standing: Vec::new(),
        going_on,
        left_behind,
        in_doubt,
        held,
        contained,
        to_review: unreviewed_runs(reader, None)?,
        ends_soon: Vec::new(),
    };
    match home.rules() {
        Ok(rules) => {
            status.requests(reader, &rules, now)?;
            status.keys(&rules, now);
        }
        Err(error) => status.rules = Some(error.to_string()),
    }
    status.ends_soon.sort_by_key(|ends| ends.at);
    Ok(status)
}

impl HostStatus {
    fn requests(&mut self, reader: &Reader, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        for id in reader.requests()? {
            if !may_be_valid(id, now) {
                continue;
            }
            // A request that cannot be read gives no authority. `remit requests --all` reports it.
            let Ok(state) = RequestState::load(reader, rules, id) else { continue };
            let lacks = match state.status(rules) {
                Status::Waiting(lacks) => Some(lacks),
                Status::Approved => None,
                _ => continue,
            };
            let waits = lacks.is_some();
            let may_approve = if waits { who_may_approve(reader, rules, &state)? } else { Vec::new() };
            let approvers: Vec<_> = may_approve
                .iter()
                .filter_map(|name| rules.principals.get(name))
                .map(|principal| subject(&rules.principals, principal))
                .collect();
            let standing = match &state.request.asks {
                RequestedAuthority::Standing(standing) => Some(standing),
                RequestedAuthority::Run { .. } => None,
            };
            let until = state.request.not_after;
            let soon = if standing.is_some() { SOON_STANDING } else { SOON };
            if until.duration_since(now) < soon {
                let what = if standing.is_some() { "standing scope" } else { "request" };
                self.ends_soon.push(Ends { what: what.into(), name: id.to_string(), at: until });
            }
            let open = Open {
                request: id,
                action: state.request.action_words(),
                target: state.request.targets(),
                by: state.request.requester.clone(),
                reason: state.request.reason.clone(),
                since: state.request.not_before,
                until,
                needs: lacks.as_ref().map(MissingApprovals::words).unwrap_or_default(),
                out_of_reach: lacks.is_some_and(|lacks| lacks.is_beyond(&approvers)),
                may_approve,
                may_start: state.request.triggers.clone(),
                waits_for_room: waiting_for_room(reader, rules, &state)?,
                budgets: standing.map(|standing| budgets(reader, &state, standing)).transpose()?,
            };
            match (waits, standing) {
                (true, _) => self.waiting.push(open),
                (false, None) => self.approved.push(open),
                (false, Some(_)) => self.standing.push(open),
            }
        }
        Ok(())
    }

    fn keys(&mut self, rules: &Rules, now: Timestamp) {
        for principal in rules.principals.iter() {
            for held in &principal.keys {
                let ends = held.until.filter(|until| *until > now && until.duration_since(now) < SOON_KEY);
                if let Some(at) = ends {
                    let name = format!("{} ({})", principal.name, held.key.id().short());
                    self.ends_soon.push(Ends { what: "key".into(), name, at });
                }
            }
        }
    }
}
