//! How a host stands, for whoever has just been woken: what keeps it, what waits for whom, what goes on, and what ends soon.

use jiff::{SignedDuration, Timestamp};
use remit_journal::{About, Basis, LedgerEvent, Reader, RequestId, RestsOn, RunId, RunState, RunSummary};
use serde::Serialize;

use crate::authority::{Budgets, budgets, unreviewed_runs, waiting_for_room, who, who_may_approve};
use crate::claim::Claim;
use crate::{Asks, Error, Home, Lacks, RequestState, Rules, Status};

/// No request is good for longer, and none that is older is read.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);
/// What ends within this is told, of requests for a run.
const SOON: SignedDuration = SignedDuration::from_hours(4);
/// The same of standing scopes: somebody has to ask for the next one, and others to approve it.
const SOON_STANDING: SignedDuration = SignedDuration::from_hours(3 * 24);
/// The same of keys.
const SOON_KEY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Who stopped everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// A request that waits or may be used.
#[derive(Clone, Debug, Serialize)]
pub struct Open {
    /// Which.
    pub request: RequestId,
    /// Of what: `rotate-secret 0.1.0`.
    pub action: String,
    /// What it would touch; what it would look at, if it touches nothing.
    pub target: Vec<String>,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when it is good.
    pub until: Timestamp,
    /// What it lacks, each in words; nothing, if it may be used.
    pub needs: Vec<String>,
    /// Whose approval would count, of one that waits.
    pub may_approve: Vec<String>,
    /// Of one that waits: whether it stays short of approvals even if all of them approve.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out_of_reach: bool,
    /// Who may start it.
    pub may_start: Vec<String>,
    /// Why it could not start now although it may be used: a budget.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for_room: Vec<String>,
    /// Of a standing scope: what is used of its budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
}

/// Something that ends soon.
#[derive(Clone, Debug, Serialize)]
pub struct Ends {
    /// What: `request`, `standing scope`, `key`.
    pub what: &'static str,
    /// Which; of a key, whose.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

/// How a host stands.
#[derive(Clone, Debug, Serialize)]
pub struct HostStatus {
    /// When this was so.
    pub at: Timestamp,
    /// Who stopped everything, if anybody did.
    pub frozen: Option<Frozen>,
    /// Why nobody can ask or start anything: the rules are not in force.
    pub rules: Option<String>,
    /// Requests whose approvals are missing, oldest first.
    pub waiting: Vec<Open>,
    /// Requests that may be started.
    pub approved: Vec<Open>,
    /// Standing scopes that are good.
    pub standing: Vec<Open>,
    /// Runs that go on.
    pub going_on: Vec<RunSummary>,
    /// Runs whose host is gone: the next start, or `remit recover`, brings them to a state.
    pub left_behind: Vec<RunSummary>,
    /// Runs in doubt.
    pub in_doubt: Vec<RunSummary>,
    /// Runs that are held.
    pub held: Vec<RunSummary>,
    /// Runs that went without the usual policy, and that nobody has reviewed.
    pub to_review: Vec<RunId>,
    /// What ends soon, the next first.
    pub ends_soon: Vec<Ends>,
}

/// Who stopped everything, if anybody did and nobody let it go on since.
pub fn frozen(reader: &Reader) -> Result<Option<Frozen>, Error> {
    let thaw = RestsOn { basis: Basis::Thaw, since: reader.size()? };
    let Some(withdrawn) = reader.struck(&[thaw])? else { return Ok(None) };
    for (_, act) in reader.acts(About::Host)?.into_iter().rev() {
        if let LedgerEvent::Frozen(statement) = act.event {
            return Ok(Some(Frozen { by: statement.principal, at: act.at, reason: statement.reason }));
        }
    }
    // The table says so, and no act does: `remit audit verify` tells of that. Frozen it is.
    Ok(Some(Frozen { by: "nobody on record".to_owned(), at: Timestamp::UNIX_EPOCH, reason: withdrawn.why }))
}

/// How a home stands. Changes nothing.
pub fn status(home: &Home, reader: &Reader) -> Result<HostStatus, Error> {
    let now = Timestamp::now();
    let mut status = HostStatus {
        at: now,
        frozen: frozen(reader)?,
        rules: None,
        waiting: Vec::new(),
        approved: Vec::new(),
        standing: Vec::new(),
        going_on: Vec::new(),
        left_behind: Vec::new(),
        in_doubt: Vec::new(),
        held: Vec::new(),
        to_review: unreviewed_runs(reader)?,
        ends_soon: Vec::new(),
    };
    for run in reader.runs()? {
        match run.state {
            None if Claim::is_held(home, run.run)? => status.going_on.push(run),
            None => status.left_behind.push(run),
            Some(RunState::InDoubt) => status.in_doubt.push(run),
            Some(RunState::Held) => status.held.push(run),
            Some(_) => {}
        }
    }
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
            if id.made().saturating_add(LONGEST).is_ok_and(|end| end < now) {
                continue;
            }
            // One that cannot be read gives no authority: `remit requests --all` tells of it.
            let Ok(case) = RequestState::load(reader, rules, id) else { continue };
            let lacks = match case.status(rules) {
                Status::Waiting(lacks) => Some(lacks),
                Status::Approved => None,
                _ => continue,
            };
            let waits = lacks.is_some();
            let may_approve = if waits { who_may_approve(reader, rules, &case)? } else { Vec::new() };
            let voices: Vec<_> =
                may_approve.iter().filter_map(|name| rules.principals.get(name)).map(who).collect();
            let standing = match &case.request.asks {
                Asks::Standing(standing) => Some(standing),
                Asks::Run { .. } => None,
            };
            let until = case.request.not_after;
            let soon = if standing.is_some() { SOON_STANDING } else { SOON };
            if until.duration_since(now) < soon {
                let what = if standing.is_some() { "standing scope" } else { "request" };
                self.ends_soon.push(Ends { what, name: id.to_string(), at: until });
            }
            let open = Open {
                request: id,
                action: case.request.action_words(),
                target: case.request.targets(),
                by: case.request.requester.clone(),
                reason: case.request.reason.clone(),
                since: case.request.not_before,
                until,
                needs: lacks.as_ref().map(Lacks::words).unwrap_or_default(),
                out_of_reach: lacks.is_some_and(|lacks| lacks.is_beyond(&voices)),
                may_approve,
                may_start: case.request.triggers.clone(),
                waits_for_room: waiting_for_room(reader, rules, &case)?,
                budgets: standing.map(|standing| budgets(reader, &case, standing)).transpose()?,
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
                    self.ends_soon.push(Ends { what: "key", name, at });
                }
            }
        }
    }
}
