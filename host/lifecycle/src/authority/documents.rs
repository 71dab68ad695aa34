//! What principals sign: each document a DSSE envelope over canonical JSON (RFC 8785), of a type of its own, so that
//! no signature can pass for another.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use remit_engine::Publishers;
use remit_gate::{Plan, Scope};
use remit_journal::{ActionRef, ConnectorRef, RequestId, Revocation, RunId};
use remit_sandbox::{Candidate, Inspection};
use remit_trust::dsse::{Envelope, Verified};
use remit_trust::{Digest, KeyId, SignatureError, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Hours, Powers};
use crate::Error;

/// The longest time that a request for a run may be valid.
pub(crate) const MAX_TTL: SignedDuration = SignedDuration::from_hours(24);
/// The longest time that a standing scope may be valid, and so any request.
pub(crate) const MAX_STANDING: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Whether a request may still be valid, by the time in its identifier. Older requests need not be read. The extra day is
/// for clocks that differ.
pub(crate) fn may_be_valid(id: RequestId, now: Timestamp) -> bool {
    now.duration_since(id.made()) < MAX_STANDING + SignedDuration::from_hours(24)
}

/// A document that a principal signs.
pub trait Document: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The payload type of its DSSE envelope, such as `application/vnd.remit.request.v1+json`.
    const TYPE: &'static str;
    /// The name of this kind of document in error messages, such as `request`.
    const NAME: &'static str;
    /// How long after its creation the document is accepted.
    const GOOD_FOR: SignedDuration;
    /// The name of the principal that the document says it is by.
    fn principal(&self) -> &str;
    /// The name of the journal that it is for.
    fn log(&self) -> &str;
    /// When the document was made; of a request, when it becomes valid.
    fn at(&self) -> Timestamp;
    /// The texts in it that its signer chose freely, each with its name.
    fn words(&self) -> Vec<(&'static str, &str)>;
}

/// How many characters a text may have that a signer chose freely. People read it before they decide, and it is told to notifiers.
pub(crate) const MAX_WORDS: usize = 4_000;

macro_rules! documents {
    ($($document:ident: $name:literal, $hours:literal hours, by $principal:ident, at $at:ident, says $($words:ident)+;)*) => {$(
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
            fn words(&self) -> Vec<(&'static str, &str)> {
                let mut words = Vec::new();
                $(words.extend(Option::from(&self.$words).map(|text: &String| (stringify!($words), text.as_str())));)+
                words
            }
        }
    )*};
}

documents! {
    Request: "request", 1 hours, by requester, at not_before, says reason incident;
    // It can be carried to another machine and back. It is valid no longer than its request, which it names by digest.
    Approval: "approval", 24 hours, by principal, at at, says reason;
    Trigger: "trigger", 1 hours, by principal, at at, says reason;
    Order: "order", 1 hours, by principal, at at, says reason;
    Session: "session", 1 hours, by principal, at at, says thumbprint;
}

/// A principal's request for authority: what is asked for, who may use it, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The request's identifier.
    pub id: RequestId,
    /// The name of the journal that it is made for. It is not valid in any other.
    pub log: String,
    /// The name of the principal that makes the request.
    pub requester: String,
    /// The authority that is asked for: for one run, or for a standing scope.
    pub asks: RequestedAuthority,
    /// What the action may touch.
    pub scope: Scope,
    /// The connectors through which it may touch it. A run under another one, or one that goes elsewhere, is another matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<ConnectorRef>,
    /// Why the requester needs it, in their own words.
    pub reason: String,
    /// The incident that the request belongs to; none if it belongs to no incident.
    pub incident: Option<String>,
    /// The names of the principals that may start runs under it.
    pub triggers: Vec<String>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// When it expires.
    pub not_after: Timestamp,
    /// How many runs may start under it; none if only the budget of the standing scope limits them.
    pub uses: Option<u32>,
    /// The digest of the rules in force when the request was made: the principals and the policies, see
    /// [`super::Rules`].
    pub rules: Digest,
    /// Whether it asks to go without the usual policy.
    pub break_glass: bool,
}

/// What kind of authority is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RequestedAuthority {
    /// To run this action with this input.
    Run {
        /// The action that is to run, with the digest of its component.
        action: ActionRef,
        /// The input of the action.
        input: serde_json::Value,
        /// The plan of the rehearsal; none if any change inside the scope is asked for.
        plan: Option<Plan>,
    },
    /// To run an action whenever needed, inside the scope.
    Standing(StandingScope),
}

/// Authority ahead of need: a pre-approved scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingScope {
    /// The action that may run, or which versions of it.
    pub action: ActionSelector,
    /// The times of day, in UTC, at which runs may start; empty if they may start at any time.
    pub hours: Vec<Hours>,
    /// How many runs may start within an hour.
    pub runs_per_hour: u32,
    /// How many changes they may make within an hour, all together.
    pub changes_per_hour: u64,
}

/// Which action a standing scope is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ActionSelector {
    /// Exactly the action with this digest.
    Digest(ActionRef),
    /// Any that this publisher signed under this name and a version in this range.
    Published {
        /// The id of the publisher's key.
        publisher: String,
        /// The name in the component's own manifest.
        name: String,
        /// A range of versions, as Cargo writes them: `^1.2`.
        versions: semver::VersionReq,
    },
}

impl ActionSelector {
    /// This action alone; or, with a range of versions, each that its publisher signs under its name.
    pub fn of(
        publishers: &Publishers,
        candidate: &Candidate,
        versions: Option<&semver::VersionReq>,
    ) -> Result<Self, Error> {
        let found = Inspection::of(candidate)?;
        let publisher = candidate.publisher(publishers)?;
        Ok(match versions {
            None => Self::Digest(ActionRef {
                digest: candidate.digest(),
                name: found.name,
                version: found.version,
            }),
            Some(versions) => Self::Published {
                publisher: publisher.to_string(),
                name: found.name,
                versions: versions.clone(),
            },
        })
    }
}

/// A principal's decision about a request: it approves or denies it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The digest of the signed request. The decision counts for no other request.
    pub request: Digest,
    /// The request's identifier, so that a person can read which request it is.
    pub id: RequestId,
    /// The name of the journal that it is for.
    pub log: String,
    /// The name of the principal that decides.
    pub principal: String,
    /// True to approve the request, false to deny it.
    pub approve: bool,
    /// When the decision was made.
    pub at: Timestamp,
    /// Why the principal decides so, in their own words.
    pub reason: String,
}

/// The document that starts a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The digest of the request under which the run starts.
    pub request: Digest,
    /// The request's identifier.
    pub id: RequestId,
    /// The name of the journal that it is for.
    pub log: String,
    /// The identifier of the new run: a trigger starts exactly one.
    pub run: RunId,
    /// The digest of the action's component.
    pub action: Digest,
    /// The digest of the run's canonical input.
    pub input: Digest,
    /// The name of the principal that starts the run.
    pub principal: String,
    /// When the trigger was made.
    pub at: Timestamp,
    /// Why the run is started, for a run under a standing scope; none for a request for one run, which has its own
    /// reason.
    pub reason: Option<String>,
}

/// An order of a principal: to revoke, to freeze, to revert a run and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The name of the journal that it is for.
    pub log: String,
    /// The name of the principal that gives the order.
    pub principal: String,
    /// When the order was made.
    pub at: Timestamp,
    /// Why the order is given, in the principal's own words.
    pub reason: String,
    /// What is ordered.
    pub order: OrderKind,
}

/// What an [`Order`] orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OrderKind {
    /// Revoke authority that depends on any of these.
    Revoke(Vec<Revocation>),
    /// Freeze the host: runs stop at their next call, and no run can start.
    Freeze,
    /// Unfreeze the host: runs can start again.
    Unfreeze {
        /// How many records the journal had when the order was made. A freeze that is none of them stays in force,
        /// because the signer did not know of it.
        seen: u64,
    },
    /// Undo the changes of a run.
    Revert {
        /// The run whose changes are undone.
        run: RunId,
        /// Whether to continue with the earlier changes when one of them cannot be undone.
        keep_going: bool,
    },
    /// Let the changes of a run stand for longer before the host undoes them by itself.
    Extend {
        /// The run whose changes stand.
        run: RunId,
        /// When the host undoes them, to the second.
        until: Timestamp,
    },
    /// State what became of a call in doubt.
    Resolve {
        /// The run that made the call.
        run: RunId,
        /// The number of the call in that run.
        call: u64,
        /// Whether the call took effect.
        happened: bool,
    },
    /// Mark a break-glass run as reviewed.
    Review(RunId),
    /// Skip an event that a notifier cannot deliver.
    GiveUp {
        /// The configured name of the notifier.
        notifier: String,
        /// The sequence number of the record whose event is skipped.
        record: u64,
    },
    /// Delete the undo data of old runs. They cannot be reverted afterwards.
    ExpireUndo {
        /// The undo data of runs that ended before this time is deleted.
        ended_before: Timestamp,
    },
}

/// A principal lets a key that a client made up read and prepare in its name at a server, for a while. It is not put on
/// record: it gives no power to change anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The name of the journal that it is for.
    pub log: String,
    /// The URL of the server that it is for. It is not valid at any other.
    pub audience: String,
    /// The name of the principal.
    pub principal: String,
    /// When it was made.
    pub at: Timestamp,
    /// The thumbprint of the client's key (RFC 7638, SHA-256, base64url).
    pub thumbprint: String,
}

impl Session {
    /// How long a session lasts from when its document was made.
    pub const FOR: SignedDuration = SignedDuration::from_hours(1);
}

/// A parsed document whose signature is valid, by one of the keys that it was checked with.
pub(crate) struct Signed<D> {
    pub(crate) document: Arc<D>,
    /// The digest of the signed payload.
    pub(crate) digest: Digest,
    /// The ids of the keys whose signatures are valid.
    pub(crate) keys: Vec<KeyId>,
    /// Whether the payload is canonical JSON (RFC 8785), so that no other bytes say the same.
    pub(crate) is_canonical: bool,
}

impl<D: Document> Signed<D> {
    /// Verifies an envelope, and parses what was signed.
    pub(crate) fn open(envelope: &RawValue, keys: &[VerifyingKey]) -> Result<Self, SignatureError> {
        let Verified { payload, signers: keys } = read_envelope(envelope)?.verify(D::TYPE, keys)?;
        let document: D = serde_json::from_slice(&payload).map_err(malformed)?;
        let is_canonical = remit_trust::canonical(&document).is_ok_and(|canonical| canonical == payload);
        Ok(Self { document: Arc::new(document), digest: Digest::of(&payload), keys, is_canonical })
    }
}

/// The keys that an envelope names. It proves nothing that it does.
pub(super) fn signers_named(envelope: &RawValue) -> Result<Vec<KeyId>, SignatureError> {
    Ok(read_envelope(envelope)?.named())
}

fn malformed(error: serde_json::Error) -> SignatureError {
    SignatureError::Malformed(error.to_string())
}

fn read_envelope(envelope: &RawValue) -> Result<Envelope, SignatureError> {
    serde_json::from_str(envelope.get()).map_err(malformed)
}

/// Parses a document without checking its signature, and returns it with its digest. Use it only where nothing depends on who
/// signed it.
pub(crate) fn claimed<D: Document>(document: &RawValue) -> Option<(D, Digest)> {
    let (payload, digest) = read_envelope(document).ok()?.claimed().ok()?;
    Some((serde_json::from_slice(&payload).ok()?, digest))
}

impl Request {
    /// The action and its version: `rotate-secret 0.1.0`.
    #[must_use]
    pub fn action_words(&self) -> String {
        match &self.asks {
            RequestedAuthority::Run { action, .. }
            | RequestedAuthority::Standing(StandingScope {
                action: ActionSelector::Digest(action), ..
            }) => {
                format!("{} {}", action.name, action.version)
            }
            RequestedAuthority::Standing(StandingScope {
                action: ActionSelector::Published { name, versions, .. },
                ..
            }) => {
                format!("{name} {versions}")
            }
        }
    }

    /// The name of the action, without its version.
    #[must_use]
    pub fn action_name(&self) -> &str {
        match &self.asks {
            RequestedAuthority::Run { action, .. }
            | RequestedAuthority::Standing(StandingScope {
                action: ActionSelector::Digest(action), ..
            }) => &action.name,
            RequestedAuthority::Standing(StandingScope {
                action: ActionSelector::Published { name, .. },
                ..
            }) => name,
        }
    }

    /// Every power that the request would give: the union of its plan and its scope.
    #[must_use]
    pub fn powers(&self) -> Powers {
        Powers::of(self.plan(), &self.scope, &self.connectors)
    }

    /// The resources that the request could change, each once; if it changes none, those that it could read.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let powers = self.powers();
        let mut targets: Vec<String> = powers.touches().into_iter().map(ToString::to_string).collect();
        if targets.is_empty() {
            targets = powers.all.iter().map(|power| power.resource.to_string()).collect();
            targets.sort();
            targets.dedup();
        }
        targets
    }

    /// The plan of a request for a run; none if it has none, and for a standing scope.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match &self.asks {
            RequestedAuthority::Run { plan, .. } => plan.as_ref(),
            RequestedAuthority::Standing(_) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{POLICY, Place};

    #[test]
    fn a_request_may_be_valid_for_a_month_and_a_day() {
        let id = RequestId::new();
        let after = |hours: i64| id.made() + SignedDuration::from_hours(hours);
        let month = 31 * 24;
        assert!(
            may_be_valid(id, after(-1)) && may_be_valid(id, after(0)) && may_be_valid(id, after(month - 1))
        );
        assert!(!may_be_valid(id, after(month)) && !may_be_valid(id, after(month + 1)));
    }

    #[test]
    fn what_a_request_is_about_in_words() {
        let place = Place::new(POLICY);
        let mut request = place.request();
        assert_eq!((&*request.action_words(), request.action_name()), ("rotate 0.1.0", "rotate"));
        assert_eq!(request.targets(), ["secret:prod/db"]);
        assert_eq!(request.plan().map(|plan| plan.steps.len()), Some(1));
        let (document, digest) = claimed::<Request>(&place.statement("alice", &request).document).unwrap();
        assert_eq!((&document, digest), (&request, Digest::of(&remit_trust::canonical(&request).unwrap())));
        assert!(claimed::<Approval>(&place.statement("alice", &request).document).is_none());
        // What only looks is about what it looks at, each once.
        let look = |name: &str, resources: &str| {
            format!("[[allow]]\ncapability = \"remit:{name}\"\nresources = [{resources}]\n")
        };
        let looks = look("secrets/inspect", "\"secret:b\", \"secret:a\"") + &look("files/read", "\"file:x\"");
        request.scope = Scope::parse(&(looks.clone() + &looks), "scope.toml").unwrap();
        let RequestedAuthority::Run { plan, .. } = &mut request.asks else { unreachable!() };
        *plan = None;
        assert_eq!(request.targets(), ["file:x", "secret:a", "secret:b"]);
        assert_eq!((request.plan(), place.standing().plan()), (None, None));
        assert_eq!(request.powers().all.len(), 3);
    }
}
