//! The records of runs: one [`Record`] for each thing that happened to a run.
//!
//! Serialised, a record is `{"run": …, "at": …, "event": {KIND: BODY}}`. Raw JSON fields keep their bytes
//! exactly, so what is hashed is what was written. No field may contain a secret in clear: secret undo data and secret
//! outcomes go into the sealed fields.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use remit_trust::{Digest, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Basis, RequestId, RunId, RunState};

/// One entry of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record<E = Event> {
    /// The run it belongs to.
    pub run: RunId,
    /// When the host wrote it, by the host's clock. The order of records is their sequence, not this.
    #[serde(with = "crate::instant")]
    pub at: Timestamp,
    /// The event that the record is about.
    pub event: E,
}

impl Record {
    /// A record of `event` with the current time.
    #[must_use]
    pub fn now(run: RunId, event: impl Into<Event>) -> Self {
        Self { run, at: Timestamp::now(), event: event.into() }
    }
}

/// What happened to a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The run started; always its first record.
    Started(Box<Started>),
    /// The run entered a phase.
    Phase(PhaseEntered),
    /// A host call is about to happen. Durable before any change.
    Intent(Intent),
    /// A host call returned.
    Outcome(Outcome),
    /// A host call was refused before it reached a backend.
    Denied(Denied),
    /// A change in a rehearsal: what the host answered without touching anything. It is not an [`Intent`], so nothing that
    /// handles changes can take it for a real one.
    Simulated(Box<Simulated>),
    /// A change is about to be undone. Durable before the attempt.
    UndoIntent(UndoIntent),
    /// An attempt to undo a change ended.
    UndoOutcome(UndoOutcome),
    /// A person stated what became of a call in doubt.
    Resolved(Resolved),
    /// The key to the run's sealed records was deleted: the run cannot be reverted any more.
    UndoExpired(UndoExpired),
    /// A person extended the time for which the run's changes may stand.
    Extended(Extended),
    /// People were called because of the run: its time was up, or the host could not undo its changes.
    Paged(Paged),
    /// The run reached a state. A later revert adds another such record.
    Ended(Ended),
}

impl Event {
    /// The name of the kind, as in the serialised form: `undo-intent`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Phase(_) => "phase",
            Self::Intent(_) => "intent",
            Self::Outcome(_) => "outcome",
            Self::Denied(_) => "denied",
            Self::Simulated(_) => "simulated",
            Self::UndoIntent(_) => "undo-intent",
            Self::UndoOutcome(_) => "undo-outcome",
            Self::Resolved(_) => "resolved",
            Self::UndoExpired(_) => "undo-expired",
            Self::Extended(_) => "extended",
            Self::Paged(_) => "paged",
            Self::Ended(_) => "ended",
        }
    }
}

impl Event {
    /// Whether a run that has a state keeps it.
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        matches!(self, Self::UndoExpired(_) | Self::Extended(_) | Self::Paged(_))
    }
}

impl From<Started> for Event {
    fn from(body: Started) -> Self {
        Self::Started(Box::new(body))
    }
}

impl From<Simulated> for Event {
    fn from(body: Simulated) -> Self {
        Self::Simulated(Box::new(body))
    }
}

macro_rules! into_event {
    ($($kind:ident($body:ty)),*) => {
        $(impl From<$body> for Event {
            fn from(body: $body) -> Self {
                Self::$kind(body)
            }
        })*
    };
}
into_event!(
    Phase(PhaseEntered),
    Intent(Intent),
    Outcome(Outcome),
    Denied(Denied),
    UndoIntent(UndoIntent),
    UndoOutcome(UndoOutcome),
    Resolved(Resolved),
    UndoExpired(UndoExpired),
    Extended(Extended),
    Paged(Paged),
    Ended(Ended)
);

/// The strongest effect that an operation can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Reads, and changes nothing.
    Observe,
    /// Changes something that the host can undo.
    Change,
    /// Changes something that the host cannot undo.
    Irrevocable,
    /// Gives secret material to the action.
    Disclose,
}

impl Effect {
    /// The name, as in the serialised form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Change => "change",
            Self::Irrevocable => "irrevocable",
            Self::Disclose => "disclose",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether changes are real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Observations are real, changes are simulated.
    Rehearse,
    /// Observations and changes are real.
    Live,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rehearse => "rehearse",
            Self::Live => "live",
        })
    }
}

/// A component that has a part in a run: its action, or a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRef {
    /// The digest of the component's bytes, as executed.
    pub digest: Digest,
    /// The name that the component gives itself.
    pub name: String,
    /// The version that the component gives itself.
    pub version: String,
}

/// A connector that a run can reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorRef {
    /// The name of its instance in the configuration: the first segment of the path of each of its resources.
    pub instance: String,
    /// The component, with its digest.
    pub component: ActionRef,
    /// The id of the publisher's key that signed it.
    pub publisher: String,
    /// The origin that its requests go to.
    pub origin: String,
    /// The digest of its `config` in the configuration, as canonical JSON: its requests can be made of it.
    pub config: Digest,
    /// The interfaces that it serves.
    pub interfaces: Vec<ConnectedInterface>,
}

/// An interface that connectors serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectedInterface {
    /// The interface with its version: `remit:tokens/revoke@0.1.0`.
    pub name: String,
    /// The kind of its resources.
    pub kind: String,
    /// The effects that calls of it can have.
    pub effects: Vec<Effect>,
    /// Of each function that has some, the parameters that are handles of sealed inputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed: BTreeMap<String, Vec<String>>,
}

/// The grant that a run started under.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantRef {
    /// The digest of the grant, as signed.
    pub digest: Digest,
    /// How many runs the grant allows in all; `u32::MAX` if it allows any number.
    pub uses: u32,
    /// The grant with its signatures and its validity. Every run that the host starts has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedRef>,
    /// Who approved it, who started the run, and what that depends on. Every run that the host starts has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
}

/// Where a run's authority comes from. With it, the run's own records show who allowed what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// The identifier of the request.
    pub request: RequestId,
    /// The approvals that counted, as they were signed.
    pub approvals: Vec<Box<RawValue>>,
    /// The signed trigger that started the run.
    pub trigger: Box<RawValue>,
    /// Whether the run was started without the usual policy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
    /// What the authority depends on: revoking any of it stops the run.
    pub rests_on: Vec<RestsOn>,
}

/// One thing that a run's authority depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestsOn {
    /// The thing that the authority depends on.
    pub basis: Basis,
    /// The sequence number of the record since which it exists.
    pub since: u64,
}

/// A grant as it was when a run started under it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedRef {
    /// The DSSE envelope of the grant.
    pub envelope: Box<RawValue>,
    /// The start of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// A run's header: everything that determines what the run does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// Whether changes are real.
    pub mode: Mode,
    /// The action that runs.
    pub action: ActionRef,
    /// The id of the publisher's key that signed the action; none for an unsigned action.
    pub publisher: Option<String>,
    /// The connectors that it can reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<ConnectorRef>,
    /// The input of the action, byte for byte.
    pub input: Box<RawValue>,
    /// The digest of the input's canonical form.
    pub input_digest: Digest,
    /// The digest of the scope in force.
    pub scope_digest: Digest,
    /// The scope in force, so that the run can be recovered and replayed from its records alone. Every run that the host
    /// starts has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Box<RawValue>>,
    /// The grant; none for a rehearsal.
    pub grant: Option<GrantRef>,
    /// The principal who asked for the run.
    pub principal: String,
    /// The name of the principal that started it, if not the requester, for example under a standing scope. The run's
    /// changes count for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// The reason, in the principal's words.
    pub reason: String,
    /// The seed of the run's random numbers, so that a replay sees the same ones. 64 hex digits.
    #[serde(with = "hex_seed")]
    pub seed: [u8; 32],
    /// The version of the host.
    pub host_version: String,
}

impl Started {
    /// Everything that the run's authority depends on: revoking any of it stops the run.
    #[must_use]
    pub fn rests_on(&self) -> Vec<RestsOn> {
        let authority = self.grant.as_ref().and_then(|grant| grant.authority.as_ref());
        let mut rests_on = authority.map(|authority| authority.rests_on.clone()).unwrap_or_default();
        rests_on.push(RestsOn { basis: Basis::Thaw, since: 0 });
        rests_on
    }
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The action's `run` export.
    Run,
    /// The action's `verify` export, which may only observe.
    Verify,
    /// The host's own check of the changes, on a separate path.
    HostCheck,
    /// The host undoes the changes.
    Revert,
    /// Another host process took over the run, because its own was killed.
    Recover,
}

impl Phase {
    /// Whether this phase can begin after the run had a state, and takes that state away.
    pub(crate) fn reopens(self) -> bool {
        matches!(self, Self::Revert | Self::Recover)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Run => "run",
            Self::Verify => "verify",
            Self::HostCheck => "host-check",
            Self::Revert => "revert",
            Self::Recover => "recover",
        })
    }
}

/// The run entered a phase. Until the next [`Ended`] it has no state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseEntered {
    /// The phase that the run entered.
    pub phase: Phase,
    /// Who asked for it; none if it follows from the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The reason, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Their order, as it was signed; none if it follows from the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<RawValue>>,
}

impl From<Phase> for Event {
    /// A phase that follows from the run itself, without an order.
    fn from(phase: Phase) -> Self {
        PhaseEntered { phase, principal: None, reason: None, order: None }.into()
    }
}

/// A host call that is about to happen, with what is needed to undo it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Intent<S = String, A = Box<RawValue>> {
    /// The call's number in its run, from 1.
    pub call: u64,
    /// The operation's name: `remit:secrets/rotate.rotate`.
    pub operation: S,
    /// The strongest effect that this call can have.
    pub effect: Effect,
    /// The resource that it touches: `secret:prod/payments/stripe`.
    pub resource: S,
    /// The arguments of the operation.
    pub arguments: A,
    /// The public part of the prior state; none for an observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<RawValue>>,
    /// The secret part of the prior state, encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// Why this call cannot be undone; none if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable_because: Option<String>,
}

/// A host call that returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome<V = Box<RawValue>, F = Box<RawValue>> {
    /// The call's number in its run.
    pub call: u64,
    /// The value or the failure that the call returned.
    pub result: CallResult<V, F>,
    /// Of a call through a connector, the requests that were sent for it: method, template, status, and digests of the bodies without
    /// their secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Box<RawValue>>,
}

/// What a host call returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallResult<V = Box<RawValue>, F = Box<RawValue>> {
    /// The outcome of an operation that succeeded.
    Ok {
        /// The outcome of the operation, as JSON.
        value: V,
    },
    /// A secret value (effect `disclose`), encrypted.
    Sealed {
        /// The encrypted outcome of the operation.
        value: Sealed,
    },
    /// A failure that the action may handle.
    Failed {
        /// The kind of the failure and its message.
        failure: F,
    },
}

/// A host call that was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Denied {
    /// The call's number in its run.
    pub call: u64,
    /// The operation's name: `remit:secrets/rotate.rotate`.
    pub operation: String,
    /// The resource that it would have touched.
    pub resource: String,
    /// The arguments of the operation.
    pub arguments: Box<RawValue>,
    /// The rule that is missing, or the limit that was reached.
    pub reason: String,
}

/// A change in a rehearsal: the host answered it, and nothing happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Simulated {
    /// The call's number in its run.
    pub call: u64,
    /// The operation's name: `remit:secrets/rotate.rotate`.
    pub operation: String,
    /// The strongest effect that the operation could have had.
    pub effect: Effect,
    /// The resource that it would have touched.
    pub resource: String,
    /// The arguments of the operation.
    pub arguments: Box<RawValue>,
    /// The public part of the prior state; none if the call failed before the host had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<RawValue>>,
    /// Why this call could not be undone; none if it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable_because: Option<String>,
    /// What it returned to the action.
    pub result: CallResult,
}

/// A change that is about to be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoIntent {
    /// The number of the call that made the change.
    pub call: u64,
}

/// An attempt to undo a change ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoOutcome {
    /// The number of the call that made the change.
    pub call: u64,
    /// How the attempt ended.
    pub result: UndoResult,
}

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoResult {
    /// The prior state was restored.
    Undone,
    /// The live state already was the prior state; nothing was touched.
    AlreadyUndone,
    /// The live state is not what the run left behind; nothing was touched.
    Conflict {
        /// How the live state differs, without any value.
        live: String,
    },
    /// The backend reported a failure.
    Failed {
        /// The error message of the backend.
        message: String,
    },
    /// The call is irrevocable, and it is not known whether it happened: a person must find out. Nothing was touched.
    InDoubt {
        /// How the live state compares, without any value.
        live: String,
    },
    /// The call is irrevocable; nothing was touched.
    NotReversible {
        /// Why the call is irrevocable.
        why: String,
    },
}

/// What a person found out about a call that was in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The number of the call.
    pub call: u64,
    /// Whether the call took effect.
    pub happened: bool,
    /// The principal who says so.
    pub principal: String,
    /// How that principal knows.
    pub reason: String,
}

/// The run's undo data was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UndoExpired {
    /// The principal who asked for it.
    pub principal: String,
    /// Which runs: `ended before 2026-10-30T17:00:00Z`.
    pub rule: String,
    /// Their order, as it was signed; none in a home without rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<RawValue>>,
}

/// What the host does by itself for a run whose changes stand, and when. Whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When it undoes the changes; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Timestamp>,
    /// When it calls people; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Timestamp>,
}

impl Due {
    /// Whether the host does nothing by itself.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A person extended the time for which a run's changes may stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Extended {
    /// When the host undoes the changes now.
    pub until: Timestamp,
    /// The principal who asked for it.
    pub principal: String,
    /// The reason, in their words.
    pub reason: String,
    /// Their order, as it was signed; none in a home without rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<RawValue>>,
}

/// People were called because of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paged {
    /// Why, in one sentence.
    pub why: String,
    /// What the host does by itself from now on.
    #[serde(default, skip_serializing_if = "Due::is_none")]
    pub due: Due,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// The state that the run reached.
    pub state: RunState,
    /// The reason, in one sentence for a person.
    pub detail: String,
    /// The code of the error that it ended with: `failed::limit`. None if it succeeded, or if the action was not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How much of each limit it used: a JSON object of numbers.
    pub consumed: Box<RawValue>,
    /// What the action returned; none if it did not return.
    pub output: Option<Value>,
    /// The action's own texts and its output, sealed under the run's key. Set if the action had received a secret or content,
    /// which these may repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_words: Option<Sealed>,
    /// What the host does by itself from now on.
    #[serde(default, skip_serializing_if = "Due::is_none")]
    pub due: Due,
}

/// The part of [`Ended::consumed`] that a replay uses; 0 where the record does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// The fuel that the guest used.
    pub fuel: u64,
}

impl Ended {
    /// Reads the counts; an error if `consumed` is not an object or a count is not a number.
    pub fn counted(&self) -> serde_json::Result<Counted> {
        serde_json::from_str(self.consumed.get())
    }
}

mod hex_seed {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(seed: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(seed, &mut text).map_err(serde::ser::Error::custom)?;
        to.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let mut seed = [0; 32];
        hex::decode_to_slice(String::deserialize(from)?, &mut seed).map_err(serde::de::Error::custom)?;
        Ok(seed)
    }
}
