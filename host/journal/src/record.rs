//! What the journal holds: one [`Record`] per thing that happened to a run.
//!
//! Serialised, a record is `{"run": …, "at": …, "event": {KIND: BODY}}`. Raw JSON fields keep the bytes
//! they were given, so what is hashed is what was written. No field may hold a secret; secret undo
//! data and secret outcomes go into the sealed fields.

use std::fmt;

use jiff::Timestamp;
use remit_trust::{Digest, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Ground, RequestId, RunId, RunState};

/// One entry of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record<E = Event> {
    /// The run it belongs to.
    pub run: RunId,
    /// When the host wrote it, by the host's clock. The order of records is their sequence, not this.
    #[serde(with = "crate::instant")]
    pub at: Timestamp,
    /// What happened.
    pub event: E,
}

impl Record {
    /// A record of `event`, now.
    #[must_use]
    pub fn now(run: RunId, event: impl Into<Event>) -> Self {
        Self { run, at: Timestamp::now(), event: event.into() }
    }
}

/// What happened to a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The run began; always its first record.
    Started(Box<Started>),
    /// The run entered a phase.
    Phase(PhaseEntered),
    /// A host call is about to happen. Durable before any change.
    Intent(Intent),
    /// A host call came back.
    Outcome(Outcome),
    /// A host call was refused before it reached a backend.
    Denied(Denied),
    /// A change that a rehearsal asked for, and what the host answered without touching anything. Never an [`Intent`]:
    /// nothing that deals with changes can take it for one.
    Simulated(Box<Simulated>),
    /// A change is about to be taken back. Durable before the attempt.
    UndoIntent(UndoIntent),
    /// An attempt to take a change back ended.
    UndoOutcome(UndoOutcome),
    /// A person said what became of a call in doubt.
    Resolved(Resolved),
    /// The key to the run's sealed records was deleted: it cannot be taken back any more.
    UndoExpired(UndoExpired),
    /// The run reached a state. A later revert adds another.
    Ended(Ended),
}

impl Event {
    /// The kind's name, as in the serialised form: `undo-intent`.
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
            Self::Ended(_) => "ended",
        }
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
    Ended(Ended)
);

/// What an operation does to the world, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Reads.
    Observe,
    /// Changes something; the host can take it back.
    Change,
    /// Changes something for good.
    Irrevocable,
    /// Hands secret material to the action.
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
    /// Observations are real, changes simulated.
    Rehearse,
    /// Everything is real.
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

/// Which action ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRef {
    /// Of the component's bytes, as executed.
    pub digest: Digest,
    /// As the component names itself.
    pub name: String,
    /// As the component names itself.
    pub version: String,
}

/// Under which grant, how often and until when it may be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantRef {
    /// Of the grant as signed.
    pub digest: Digest,
    /// How many runs the grant allows in all.
    pub uses: u32,
    /// The grant with its signatures, and from when until when it holds. Journals of schema 1 lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedRef>,
    /// Who approved and who triggered it, and what it all rests on. Journals of schema 2 and older lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
}

/// Where a run's authority comes from: with it, a run's own records show who allowed what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// The request.
    pub request: RequestId,
    /// The approvals that counted, as signed.
    pub approvals: Vec<Box<RawValue>>,
    /// The word of the one who started it, as signed.
    pub trigger: Box<RawValue>,
    /// Whether it went without the usual policy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
    /// What must not be taken away while it goes on.
    pub rests_on: Vec<RestsOn>,
}

/// One thing that a run's authority rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestsOn {
    /// What.
    pub ground: Ground,
    /// The number of the record that it is there since.
    pub since: u64,
}

/// A grant as it was when a run started under it: with it, the journal shows who allowed what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedRef {
    /// The DSSE envelope.
    pub envelope: Box<RawValue>,
    /// From when on.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// A run's header: everything that decides what it does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// Whether changes are real.
    pub mode: Mode,
    /// What runs.
    pub action: ActionRef,
    /// The id of the publisher's key that signed the action, if one did.
    pub publisher: Option<String>,
    /// What the action is given, byte for byte.
    pub input: Box<RawValue>,
    /// Of the input's canonical form.
    pub input_digest: Digest,
    /// Of the scope in force.
    pub scope_digest: Digest,
    /// The scope in force, so that the run can be recovered and replayed with nothing but its record.
    /// Journals of schema 1 lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Box<RawValue>>,
    /// The source of the authority; none for a rehearsal.
    pub grant: Option<GrantRef>,
    /// Who asked.
    pub principal: String,
    /// Who started it, when that was somebody else: under a standing scope, say. What the run changes counts for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// Why, in the principal's words.
    pub reason: String,
    /// Seeds the run's own randomness, so that a replay sees the same. 64 hex digits.
    #[serde(with = "hex_seed")]
    pub seed: [u8; 32],
    /// The version of the host.
    pub host_version: String,
}

impl Started {
    /// What must not be taken away while the run goes on.
    #[must_use]
    pub fn rests_on(&self) -> Vec<RestsOn> {
        let authority = self.grant.as_ref().and_then(|grant| grant.authority.as_ref());
        let mut rests_on = authority.map(|authority| authority.rests_on.clone()).unwrap_or_default();
        rests_on.push(RestsOn { ground: Ground::Thaw, since: 0 });
        rests_on
    }
}

/// What the host is about to do for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The action's `run` export.
    Run,
    /// The action's `verify` export, which may only observe.
    Verify,
    /// The host's own check of the changes, on a separate path.
    HostCheck,
    /// Taking the changes back.
    Revert,
    /// Another host took the run over, because its own was gone.
    Recover,
}

impl Phase {
    /// Whether a run that had a state has none from here on; the other phases follow from a run that goes on.
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
    /// Which.
    pub phase: Phase,
    /// Who asked for it, when it was not the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Their order, as signed. Journals of schema 2 and older lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<RawValue>>,
}

impl From<Phase> for Event {
    /// A phase that follows from the run itself.
    fn from(phase: Phase) -> Self {
        PhaseEntered { phase, principal: None, reason: None, order: None }.into()
    }
}

/// A host call that is about to happen, with what is needed to take it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Intent<S = String, A = Box<RawValue>> {
    /// The call's number in its run, from 1.
    pub call: u64,
    /// The operation's name: `remit:secrets/rotate.rotate`.
    pub operation: S,
    /// What this call does, at most.
    pub effect: Effect,
    /// What it touches: `secret:prod/payments/stripe`.
    pub resource: S,
    /// The operation, as it will be performed.
    pub arguments: A,
    /// The public part of the prior state; none for an observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<RawValue>>,
    /// The secret part of the prior state, encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// Why this call cannot be taken back, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable_because: Option<String>,
}

/// A host call that came back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome<V = Box<RawValue>, F = Box<RawValue>> {
    /// The call's number in its run.
    pub call: u64,
    /// What came back.
    pub result: CallResult<V, F>,
}

/// What a host call returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallResult<V = Box<RawValue>, F = Box<RawValue>> {
    /// A value.
    Ok {
        /// The operation's outcome.
        value: V,
    },
    /// A secret value (effect `disclose`), encrypted.
    Sealed {
        /// The operation's outcome.
        value: Sealed,
    },
    /// A failure that the action may handle.
    Failed {
        /// Its kind and message.
        failure: F,
    },
}

/// A host call that was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Denied {
    /// The call's number in its run.
    pub call: u64,
    /// The operation's name.
    pub operation: String,
    /// What it wanted to touch.
    pub resource: String,
    /// The operation, as asked.
    pub arguments: Box<RawValue>,
    /// Which rule is missing or which limit was reached.
    pub reason: String,
}

/// A change that a rehearsal asked for: the host answered it, and nothing happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Simulated {
    /// The call's number in its run.
    pub call: u64,
    /// The operation's name.
    pub operation: String,
    /// What the operation would have done, at most.
    pub effect: Effect,
    /// What it would have touched.
    pub resource: String,
    /// The operation, as it would be performed.
    pub arguments: Box<RawValue>,
    /// The public part of the state that it found; none when it failed before it had that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<RawValue>>,
    /// Why this call could not be taken back, when it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable_because: Option<String>,
    /// What the action was answered.
    pub result: CallResult,
}

/// A change that is about to be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoIntent {
    /// The number of the call that made the change.
    pub call: u64,
}

/// An attempt to take a change back ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoOutcome {
    /// The number of the call that made the change.
    pub call: u64,
    /// How.
    pub result: UndoResult,
}

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoResult {
    /// The prior state is back.
    Undone,
    /// The prior state was already there; nothing was touched.
    AlreadyUndone,
    /// The live state is not what the run left; nothing was touched.
    Conflict {
        /// How the live state differs, without any value.
        live: String,
    },
    /// The backend failed.
    Failed {
        /// Its words.
        message: String,
    },
    /// The call is irrevocable and whether it happened is not known: a person must say. Nothing was
    /// touched.
    InDoubt {
        /// How the live state compares, without any value.
        live: String,
    },
    /// The call was irrevocable.
    NotReversible {
        /// Why.
        why: String,
    },
}

/// What a person found out about a call that was in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The number of the call.
    pub call: u64,
    /// Whether it took effect.
    pub happened: bool,
    /// Who says so.
    pub principal: String,
    /// How they know.
    pub reason: String,
}

/// The run's undo data was given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UndoExpired {
    /// Who asked for it.
    pub principal: String,
    /// Under which rule: `older than 30d`.
    pub rule: String,
    /// Their order, as signed. Journals of schema 6 and older lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<RawValue>>,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// In which state.
    pub state: RunState,
    /// Why, in one sentence for a person.
    pub detail: String,
    /// How much of each limit it used: an object of numbers.
    pub consumed: Box<RawValue>,
    /// What the action returned, when it returned.
    pub output: Option<Value>,
    /// Of an action that had been told a secret or content: what it said in its own words, and what it returned, sealed
    /// under the run's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_words: Option<Sealed>,
}

/// What of [`Ended::consumed`] a replay goes by; 0 where the record does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// How much fuel the guest burnt.
    pub fuel: u64,
}

impl Ended {
    /// What was counted; an error if that is no object, or what it counts no number.
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
