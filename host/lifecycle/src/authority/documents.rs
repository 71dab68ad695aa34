//! What principals sign: each document a DSSE envelope over canonical JSON (RFC 8785), of a type of its own, so that
//! no signature can pass for another.

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Plan, Scope};
use remit_journal::{ActionRef, RequestId, Revocation, RunId};
use remit_trust::Digest;
use remit_trust::dsse::Envelope;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Hours;

/// A document that a principal signs.
pub trait Document: Serialize + DeserializeOwned {
    /// The DSSE payload type.
    const TYPE: &'static str;
    /// What errors call it.
    const NAME: &'static str;
    /// How long after it was made it is accepted.
    const GOOD_FOR: SignedDuration;
    /// The principal that it says it is by.
    fn principal(&self) -> &str;
    /// The journal that it is for.
    fn log(&self) -> &str;
    /// When it was made.
    fn at(&self) -> Timestamp;
}

macro_rules! documents {
    ($($document:ident: $name:literal, $hours:literal hours, by $principal:ident, at $at:ident;)*) => {$(
        impl Document for $document {
            const TYPE: &'static str = concat!("application/vnd.remit.", $name, ".v1+json");
            const NAME: &'static str = $name;
            const GOOD_FOR: SignedDuration = SignedDuration::from_hours($hours);
            fn principal(&self) -> &str {
                &self.$principal
            }
            fn log(&self) -> &str {
                &self.log
            }
            fn at(&self) -> Timestamp {
                self.$at
            }
        }
    )*};
}

documents! {
    Request: "request", 1 hours, by requester, at not_before;
    // It names a request by its digest, and ends with it: time to carry it to another machine and back.
    Approval: "approval", 24 hours, by principal, at at;
    Trigger: "trigger", 1 hours, by principal, at at;
    Order: "order", 1 hours, by principal, at at;
}

/// What a principal asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// The journal it is made in: in another it is worth nothing.
    pub log: String,
    /// Who asks.
    pub requester: String,
    /// For what.
    pub asks: Asks,
    /// What the action may touch.
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// Part of which incident.
    pub incident: Option<String>,
    /// Who may start it.
    pub triggers: Vec<String>,
    /// From when on.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// How many runs; none for as many as its budget allows.
    pub uses: Option<u32>,
    /// The rules in force: of the principals and the policies, see [`super::Rules`].
    pub rules: Digest,
    /// Whether it asks to go without the usual policy.
    pub break_glass: bool,
}

/// What kind of authority is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asks {
    /// To run this action with this input.
    Run {
        /// The action, by its digest.
        action: ActionRef,
        /// What it is given.
        input: serde_json::Value,
        /// What it was observed to do; none if any change inside the scope is asked for.
        plan: Option<Plan>,
    },
    /// To run an action whenever needed, inside the scope.
    Standing(StandingScope),
}

/// Authority ahead of need: a pre-approved scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingScope {
    /// Which action.
    pub action: Which,
    /// At what times, in UTC; always, if there is none.
    pub hours: Vec<Hours>,
    /// How many runs may start within an hour.
    pub runs_per_hour: u32,
    /// How many changes they may make within an hour, all together.
    pub changes_per_hour: u64,
}

/// An action that a standing scope names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Which {
    /// Exactly this one.
    Digest(ActionRef),
    /// Any that this publisher signed under this name and a version in this range.
    Published {
        /// The id of the publisher's key.
        publisher: String,
        /// As the component names itself.
        name: String,
        /// A range of versions, as Cargo writes them: `^1.2`.
        versions: semver::VersionReq,
    },
}

/// Decides and says what a person thinks of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The digest of the request as signed: exactly that one.
    pub request: Digest,
    /// Its name, for a person who reads this.
    pub id: RequestId,
    /// The journal.
    pub log: String,
    /// Who says so.
    pub principal: String,
    /// Yes or no.
    pub approve: bool,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// The word that starts a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The digest of the request that it is started under.
    pub request: Digest,
    /// Its name.
    pub id: RequestId,
    /// The journal.
    pub log: String,
    /// The run: a trigger starts one.
    pub run: RunId,
    /// Of the component.
    pub action: Digest,
    /// Of the input.
    pub input: Digest,
    /// Who.
    pub principal: String,
    /// When.
    pub at: Timestamp,
    /// Why, under a standing scope; a request for a run says so itself.
    pub reason: Option<String>,
}

/// What a principal orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The journal.
    pub log: String,
    /// Who.
    pub principal: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What.
    pub order: What,
}

/// See [`Order`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// Take authority away.
    Revoke(Vec<Revocation>),
    /// Stop everything.
    Freeze,
    /// Let it go on.
    Unfreeze,
    /// Take back what a run did.
    Revert {
        /// Of which run.
        run: RunId,
        /// Whether what cannot be taken back is passed over.
        keep_going: bool,
    },
    /// Say what became of a call in doubt.
    Resolve {
        /// Of which run.
        run: RunId,
        /// Which call.
        call: u64,
        /// Whether it happened.
        happened: bool,
    },
    /// Close the book on a run that went without the usual policy.
    Review(RunId),
    /// Never tell a notifier of what waits for it.
    GiveUp {
        /// Which notifier.
        notifier: String,
        /// The number of the record that it would have been told of.
        record: u64,
    },
    /// Delete what runs could be reverted with.
    ExpireUndo {
        /// Of runs that ended before.
        ended_before: Timestamp,
    },
}

/// A document whose signature holds, by keys that are known now or were at some time.
pub(crate) struct Signed<D> {
    pub(crate) document: D,
    /// Of what was signed.
    pub(crate) digest: Digest,
    /// The keys that signed it.
    pub(crate) keys: Vec<remit_trust::KeyId>,
}

/// Checks an envelope; only what was signed is parsed.
pub(crate) fn open<D: Document>(
    envelope: &RawValue,
    keys: &[remit_trust::VerifyingKey],
) -> Result<Signed<D>, remit_trust::SignatureError> {
    let malformed = |error: serde_json::Error| remit_trust::SignatureError::Malformed(error.to_string());
    let envelope: Envelope = serde_json::from_str(envelope.get()).map_err(malformed)?;
    let verified = envelope.verify(D::TYPE, keys)?;
    Ok(Signed {
        document: serde_json::from_slice(&verified.payload).map_err(malformed)?,
        digest: Digest::of(&verified.payload),
        keys: verified.signers,
    })
}

/// What a request says of itself, and the digest of that: to tell of it, not to trust it.
pub(crate) fn claimed(document: &RawValue) -> Option<(Request, Digest)> {
    let envelope: Envelope = serde_json::from_str(document.get()).ok()?;
    let digest = envelope.payload_digest().ok()?;
    Some((serde_json::from_slice(&envelope.payload_named(digest).ok()?).ok()?, digest))
}

impl Request {
    /// The action, in words: `rotate-secret 0.1.0`.
    #[must_use]
    pub fn action_words(&self) -> String {
        match &self.asks {
            Asks::Run { action, .. }
            | Asks::Standing(StandingScope { action: Which::Digest(action), .. }) => {
                format!("{} {}", action.name, action.version)
            }
            Asks::Standing(StandingScope { action: Which::Published { name, versions, .. }, .. }) => {
                format!("{name} {versions}")
            }
        }
    }

    /// The name of the action.
    #[must_use]
    pub fn action_name(&self) -> &str {
        match &self.asks {
            Asks::Run { action, .. }
            | Asks::Standing(StandingScope { action: Which::Digest(action), .. }) => &action.name,
            Asks::Standing(StandingScope { action: Which::Published { name, .. }, .. }) => name,
        }
    }

    /// What it would touch, each once; of one that only looks, what it would look at.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let powers = self.powers();
        let mut on: Vec<String> = powers.touches().into_iter().map(ToString::to_string).collect();
        if on.is_empty() {
            on = powers.all.iter().map(|power| power.resource.to_string()).collect();
            on.sort();
            on.dedup();
        }
        on
    }

    /// The approved plan, where there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match &self.asks {
            Asks::Run { plan, .. } => plan.as_ref(),
            Asks::Standing(_) => None,
        }
    }
}
