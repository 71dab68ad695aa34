//! The JSON form of requests, runs and orders, as in `docs/json/remit.schema.json`.

use jiff::{SignedDuration, Timestamp};
use remit_journal::{Event, Reader, Record, RequestId, RunId, RunState};
use remit_sandbox::Consumed;
use remit_trust::issuers::{Proof, TokenIdentity};
use remit_trust::principals::{Principal, PrincipalKind, Principals};
use remit_trust::{Digest, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notify::Delivery;
use crate::plan::code;
use crate::revert::{Reverted, Step};
use crate::run::Finished;
use crate::status::Frozen;
use crate::timeline::Timeline;
use crate::{
    Budgets, Ending, Error, Given, Needed, Powers, Request, RequestState, RequestedAuthority, Rules, Status,
    budgets, differences, waiting_for_room,
};

/// A request and its status, with all that a person needs to decide about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestView {
    /// The request as its requester signed it.
    pub request: Request,
    /// Whether the requester is a person or software; none if it is no principal any more.
    pub requester_kind: Option<PrincipalKind>,
    /// How the requester proved to be the one.
    pub proof: Proof,
    /// The person who operates the requester, if it is software of somebody. That person's approval does not count.
    pub operator: Option<String>,
    /// The resources that it would change, or those it would read if it changes none.
    pub target: Vec<String>,
    /// Every power that it would give.
    pub powers: Powers,
    /// The digest of the signed request.
    pub digest: Digest,
    /// The status in one word.
    pub status: String,
    /// Why the request gives no authority, if it is closed or forbidden; otherwise none.
    pub why: Option<String>,
    /// The approvals that are required, each with how many are missing; empty unless the request waits for approvals.
    pub missing: Vec<Needed>,
    /// Every approval, whether it counts or not.
    pub approvals: Vec<ApprovalView>,
    /// How many runs have started under it.
    pub started: u32,
    /// How the request differs from the last run of this action; empty in a list of requests.
    pub differs: Vec<String>,
    /// Each budget that prevents a start now although the request is approved.
    pub waits_for_room: Vec<String>,
    /// How much of its budgets a standing scope has used; none for a run, and in a list of requests.
    pub budgets: Option<Budgets>,
}

/// One decision about a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalView {
    /// The name of the principal that decided.
    pub principal: String,
    /// Whether the principal is a person or software; none if the decision does not count.
    pub kind: Option<String>,
    /// When it was decided.
    pub at: Timestamp,
    /// The reason that the principal gave.
    pub reason: String,
    /// Whether it counts as an approval.
    pub counts: bool,
    /// Why it does not count; none if it counts.
    pub why_not: Option<String>,
}

impl RequestView {
    /// The full view of one request.
    pub fn of(reader: &Reader, rules: &Rules, state: &RequestState) -> Result<Self, Error> {
        let waits = waiting_for_room(reader, rules, state)?;
        let budgets = match &state.request.asks {
            RequestedAuthority::Standing(standing) => Some(budgets(reader, state, standing)?),
            RequestedAuthority::Run { .. } => None,
        };
        let listed = Self::listed(reader, rules, state, state.status(rules), waits)?;
        Ok(Self { differs: differences(reader, state)?, budgets, ..listed })
    }

    /// The view of a request in a list.
    pub fn listed(
        reader: &Reader,
        rules: &Rules,
        state: &RequestState,
        status: Status,
        waits_for_room: Vec<String>,
    ) -> Result<Self, Error> {
        let name = status.name().to_owned();
        let (missing, why) = match status {
            Status::Waiting(lacks) => (lacks.needs.into_iter().map(Needed::from).collect(), None),
            Status::Closed(why) | Status::Forbidden(why) => (Vec::new(), Some(why)),
            _ => (Vec::new(), None),
        };
        let approval = |given: &Given| ApprovalView {
            principal: given.approval.principal.clone(),
            kind: given.counts.as_ref().ok().map(|who| who.kind.clone()),
            at: given.approval.at,
            reason: given.approval.reason.clone(),
            counts: given.counts.is_ok(),
            why_not: given.counts.as_ref().err().cloned(),
        };
        Ok(Self {
            requester_kind: rules.principals.get(&state.request.requester).map(|principal| principal.kind),
            proof: state.proof,
            operator: rules.operator(&state.request.requester).map(ToOwned::to_owned),
            request: Request::clone(&state.request),
            target: state.request.targets(),
            powers: state.request.powers(),
            digest: state.digest,
            status: name,
            why,
            missing,
            approvals: state.approvals.iter().map(approval).collect(),
            started: state.started.map_or_else(|| reader.grant_uses(&state.digest), Ok)?,
            differs: Vec::new(),
            waits_for_room,
            budgets: None,
        })
    }

    /// The view as a server sent it, with all that follows from the request itself computed here: a server that was taken over
    /// must not show less than what is signed.
    pub fn received(self) -> Result<Self, Error> {
        Ok(Self {
            digest: Digest::of(&remit_trust::canonical(&self.request)?),
            target: self.request.targets(),
            powers: self.request.powers(),
            ..self
        })
    }

    /// Where it stands, in a few words.
    #[must_use]
    pub fn headline(&self) -> String {
        let missing: Vec<String> =
            self.missing.iter().filter(|needed| needed.missing > 0).map(Needed::words).collect();
        match &self.why {
            Some(why) => format!("{}: {why}", self.status),
            None if missing.is_empty() => self.status.clone(),
            None => format!("waiting for {}", missing.join(", ")),
        }
    }
}

/// A list of requests, newest first, and the orders about this host.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestsView {
    /// The requests, each with its status.
    pub requests: Vec<RequestView>,
    /// The last of them, if there are more; none at the end of the list.
    pub next: Option<RequestId>,
    /// The orders about this host, one line each.
    pub orders: Vec<String>,
    /// Who froze the host; none if it is not frozen.
    pub frozen: Option<Frozen>,
}

impl RequestsView {
    /// A list of nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { requests: Vec::new(), next: None, orders: Vec::new(), frozen: None }
    }
}

/// The result of a live run.
#[derive(Debug, Serialize)]
pub struct RunView {
    /// The run's identifier.
    pub run: RunId,
    /// The run's state.
    pub state: RunState,
    /// What the action returned; none if it did not return a value.
    pub output: Option<Value>,
    /// Whether the action's output and its own messages are sealed.
    pub sealed: bool,
    /// Why the run did not succeed; none if it did.
    pub cause: Option<String>,
    /// The code of the error that it ended with; none if it succeeded, or if the action was not running.
    pub code: Option<String>,
    /// The changes that were undone; none if the run was not reverted.
    pub reverted: Option<Reverted>,
    /// How much of its limits the run used.
    pub consumed: Consumed,
}

impl RunView {
    /// The result of a run that has ended, from its records; none if it has not.
    #[must_use]
    pub fn of(run: RunId, records: &[(u64, Record)]) -> Option<Self> {
        let ended = records.iter().rev().find_map(|(_, record)| match &record.event {
            Event::Ended(ended) => Some(ended),
            _ => None,
        })?;
        Some(Self {
            run,
            state: ended.state,
            output: ended.output.clone(),
            sealed: ended.own_words.is_some(),
            cause: (ended.state != RunState::Succeeded).then(|| ended.detail.clone()),
            code: ended.code.clone(),
            reverted: Reverted::of(records).ok()?,
            consumed: serde_json::from_str(ended.consumed.get()).ok()?,
        })
    }
}

impl From<&Finished> for RunView {
    fn from(finished: &Finished) -> Self {
        Self {
            run: finished.run,
            state: finished.state,
            output: finished.output.clone(),
            sealed: finished.sealed,
            cause: finished.cause.as_ref().map(ToString::to_string),
            code: finished.cause.as_ref().and_then(code),
            reverted: finished.reverted.clone(),
            consumed: finished.consumed,
        }
    }
}

/// The result of a revert.
#[derive(Debug, Serialize)]
pub struct RevertView<'a> {
    /// The run's identifier.
    pub run: RunId,
    /// Whether this was a dry run, which undoes nothing.
    pub dry_run: bool,
    /// The state that the run has now; in a dry run, the state that it would have.
    pub state: RunState,
    /// Each change that was undone, or that could not be.
    pub steps: &'a [Step],
    /// The changes that were not tried, because a later one could not be undone.
    pub left: &'a [String],
}

impl Reverted {
    /// The view of this result, for the run with this identifier.
    #[must_use]
    pub fn view(&self, run: RunId, dry_run: bool) -> RevertView<'_> {
        RevertView { run, dry_run, state: self.state(), steps: &self.steps, left: &self.left }
    }
}

/// Authority was revoked.
#[derive(Debug, Serialize)]
pub struct RevokedView<'a> {
    /// The kind of thing that was revoked: `request`, `principal`, `key`, `action` or `all`.
    pub revoked: &'a str,
    /// The name, id or digest of what was revoked.
    pub name: &'a str,
    /// The runs that stop at their next call.
    pub stopping: &'a [RunId],
}

/// The host was frozen or unfrozen.
#[derive(Debug, Serialize)]
pub struct FrozenView<'a> {
    /// Whether the host is frozen now.
    pub frozen: bool,
    /// The runs that stop at their next call.
    pub stopping: &'a [RunId],
}

/// A break-glass run was reviewed.
#[derive(Debug, Serialize)]
pub struct ReviewedView {
    /// The identifier of the run that was reviewed.
    pub reviewed: RunId,
}

/// The result of a delivery to the notifiers.
#[derive(Debug, Serialize)]
pub struct DeliveryView<'a> {
    /// The events that were delivered, each with the name of the notifier.
    pub told: &'a [(String, String)],
    /// The deliveries that failed, each as an error message.
    pub failed: Vec<String>,
}

impl Delivery {
    /// The view of this result.
    #[must_use]
    pub fn view(&self) -> DeliveryView<'_> {
        DeliveryView { told: &self.told, failed: self.failed.iter().map(ToString::to_string).collect() }
    }
}

/// One of the ways in which a principal proves who it is: a key, or an identity by an issuer of tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct PrincipalView {
    /// The name of the principal.
    pub name: String,
    /// Whether the principal is a person or software.
    pub kind: PrincipalKind,
    /// The person who operates the principal.
    pub operator: Option<String>,
    /// The names of the principal's groups.
    pub groups: Vec<String>,
    /// The key's id; none for an identity.
    pub key: Option<String>,
    /// The issuer and the claims of an identity; none for a key.
    pub identity: Option<TokenIdentity>,
    /// The domain that the key is for, if it is a passkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<String>,
    /// Whether it is a passkey that never leaves its device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_bound: bool,
    /// Whether it counts now.
    pub in_force: bool,
    /// From when on the key is valid; none for no limit.
    pub from: Option<Timestamp>,
    /// Until when the key is valid; none for no limit.
    pub until: Option<Timestamp>,
}

/// No certificate counts for longer: it is for ten minutes at most, and clocks differ.
const LONGEST_CERTIFIED: SignedDuration = SignedDuration::from_hours(1);

impl PrincipalView {
    /// The view of every key and identity of every principal.
    #[must_use]
    pub fn all(principals: &Principals) -> Vec<Self> {
        let now = Timestamp::now();
        let of = |principal: &Principal| Self {
            name: principal.name.clone(),
            kind: principal.kind,
            operator: principal.operator.clone(),
            groups: principal.groups.iter().cloned().collect(),
            key: None,
            identity: None,
            passkey: None,
            device_bound: false,
            in_force: true,
            from: None,
            until: None,
        };
        let all = principals.iter().flat_map(|principal| {
            let keys = principal.keys.iter().map(move |held| Self {
                key: Some(held.key.id().to_string()),
                passkey: held.key.passkey_of().map(str::to_owned),
                device_bound: held.device_bound,
                in_force: principals.in_force(&held.key.id(), now),
                from: held.from,
                until: held.until,
                ..of(principal)
            });
            let identity =
                move |identity: &TokenIdentity| Self { identity: Some(identity.clone()), ..of(principal) };
            keys.chain(principal.identities.iter().map(identity))
        });
        all.collect()
    }

    /// The keys that are certified now for an identity: whose they are, by which claims, and until when.
    pub fn certified(reader: &Reader, rules: &Rules) -> Result<Vec<Self>, Error> {
        let since = Timestamp::now().saturating_sub(LONGEST_CERTIFIED).unwrap_or(Timestamp::MIN);
        let mut all = Vec::new();
        for certificate in reader.certified(since)? {
            let Ok(key) = VerifyingKey::from_text(&certificate.key, "a certificate") else { continue };
            // One that ended, that was revoked, or that this host did not sign, is nobody's.
            let Ok(by) = rules.identify(reader, &key.id()) else { continue };
            if by.stands(reader).is_err() || by.until() != Some(certificate.until) {
                continue;
            }
            let issuer = rules.principals.issuers().iter().find(|issuer| issuer.url == certificate.issuer);
            let issuer = issuer.map_or(certificate.issuer, |issuer| issuer.name.clone());
            all.push(Self {
                name: by.principal.name.clone(),
                kind: by.principal.kind,
                operator: by.principal.operator.clone(),
                groups: by.principal.groups.iter().cloned().collect(),
                key: Some(key.id().to_string()),
                identity: Some(TokenIdentity { issuer, claims: certificate.claims }),
                passkey: None,
                device_bound: false,
                in_force: true,
                from: Some(certificate.from),
                until: Some(certificate.until),
            });
        }
        Ok(all)
    }

    /// The id of the key, or the issuer and claims of the identity, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let claims = |identity: &TokenIdentity| {
            let claims: Vec<String> =
                identity.claims.iter().map(|(name, claim)| format!("{name} {claim}")).collect();
            format!("{}: {}", identity.issuer, claims.join(", "))
        };
        match (&self.key, &self.identity) {
            (Some(key), Some(identity)) => format!("{key} certified by {}", claims(identity)),
            (Some(key), None) => match &self.passkey {
                Some(_) if self.device_bound => format!("{key} passkey in one device"),
                Some(_) => format!("{key} passkey"),
                None => key.clone(),
            },
            (None, identity) => identity.as_ref().map(claims).unwrap_or_default(),
        }
    }
}

/// The rules as they are written.
#[derive(Debug, Serialize)]
pub struct RulesView {
    /// How many principals there are.
    pub principals: usize,
    /// How many policies there are.
    pub policies: usize,
    /// The digest of the rules.
    pub digest: Digest,
    /// The id of the administrator's key that signed them; none if they are not in force.
    pub signed_by: Option<String>,
}

/// Rules were signed.
#[derive(Debug, Serialize)]
pub struct SignedRulesView {
    /// The digest of the rules.
    pub digest: Digest,
    /// The open requests and standing scopes that are void now.
    pub void: Vec<Ending>,
}

/// The story of a run, and every record.
#[derive(Debug, Serialize)]
pub struct StoryView<'a> {
    /// The run's identifier.
    pub run: RunId,
    /// The story that the records tell.
    pub story: &'a Timeline,
    /// Every record of the run, with its sequence number.
    pub records: Vec<NumberedRecord<'a>>,
}

/// A record with its number.
#[derive(Debug, Serialize)]
pub struct NumberedRecord<'a> {
    /// The record as the journal has it.
    #[serde(flatten)]
    pub record: &'a Record,
    /// The record's sequence number.
    pub seq: u64,
}

impl<'a> StoryView<'a> {
    /// The view of one run.
    #[must_use]
    pub fn of(run: RunId, story: &'a Timeline, records: &'a [(u64, Record)]) -> Self {
        let records = records.iter().map(|(seq, record)| NumberedRecord { record, seq: *seq });
        Self { run, story, records: records.collect() }
    }
}

/// The time for which a run's changes may stand was extended.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExtendedView {
    /// The run's identifier.
    pub run: RunId,
    /// When the host undoes its changes.
    pub until: Timestamp,
}
