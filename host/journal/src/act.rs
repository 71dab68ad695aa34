//! The other half of the journal: what principals and the host did about authority. There is one [`Act`] for each request,
//! approval, denial, revocation and delivered notice. They are in the same log as the [`crate::Record`]s of the runs.
//!
//! Serialised, an act is `{"about": …, "at": …, "event": {KIND: BODY}}`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use remit_trust::issuers::{Claim, Proof};
use remit_trust::{Digest, KeyId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::name::Filed;
use crate::{RequestId, RunId};

/// The subject of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// One request, and everything done under it.
    Request(RequestId),
    /// This host as a whole.
    Host,
    /// A key that the host certified.
    Key(Hashed),
    /// A token that was exchanged.
    Token(Hashed),
}

/// The name of something that has a digest: the beginning of the digest, after a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hashed(Filed);

const KEY: &str = "key-";
const TOKEN: &str = "tok-";

impl About {
    /// The key with this id.
    #[must_use]
    pub fn key(id: &KeyId) -> Self {
        Self::Key(Hashed(Filed::digest(KEY, &Digest::of(id.to_string().as_bytes()))))
    }

    /// The token with this name of its own (`jti`) by this issuer.
    #[must_use]
    pub fn token(issuer: &str, jti: &str) -> Self {
        // No URL has a space in it.
        Self::Token(Hashed(Filed::digest(TOKEN, &Digest::of(format!("{issuer} {jti}").as_bytes()))))
    }

    pub(crate) fn filed(&self) -> Filed {
        match self {
            Self::Request(request) => request.filed(),
            Self::Host => Filed::word(HOST),
            Self::Key(name) | Self::Token(name) => name.0,
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Host => f.pad(HOST),
            Self::Key(name) | Self::Token(name) => f.pad(name.0.as_str()),
        }
    }
}

/// The name that acts about the whole host are filed under.
pub(crate) const HOST: &str = "host";

impl Serialize for About {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for About {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == HOST {
            return Ok(Self::Host);
        }
        for (prefix, about) in [(KEY, Self::Key as fn(Hashed) -> Self), (TOKEN, Self::Token)] {
            if let Some(name) = Filed::read(prefix, &text) {
                return Ok(about(Hashed(name)));
            }
        }
        text.parse().map(Self::Request).map_err(serde::de::Error::custom)
    }
}

/// An entry of the journal that belongs to no run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Act {
    /// What the entry is about: a request or the host.
    pub about: About,
    /// When the host wrote it, by the host's clock.
    pub at: Timestamp,
    /// The event that the entry is about.
    pub event: LedgerEvent,
}

impl Act {
    /// An act with the current time.
    #[must_use]
    pub fn now(about: About, event: LedgerEvent) -> Self {
        Self { about, at: Timestamp::now(), event }
    }
}

/// A statement of a principal, with its signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedStatement {
    /// The principal's name.
    pub principal: String,
    /// The id of the key that signed the statement.
    pub key: String,
    /// The reason, in the principal's words.
    pub reason: String,
    /// The DSSE envelope, as it was signed.
    pub document: Box<RawValue>,
}

/// What the host found out about who holds a key: a short-lived certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The name of the journal that it is for.
    pub log: String,
    /// The public key, in PEM.
    pub key: String,
    /// The principal whose key it is.
    pub principal: String,
    /// How the principal proved to be the one.
    pub proof: Proof,
    /// The issuer of the token, as its `iss`.
    pub issuer: String,
    /// The claims of the token by which it is the principal's.
    pub claims: BTreeMap<String, Claim>,
    /// The digest of the token.
    pub token: Digest,
    /// From when on the key counts.
    pub from: Timestamp,
    /// Until when the key counts. What it signed before remains the principal's.
    pub until: Timestamp,
}

impl Certificate {
    /// The text that the host signs: two lines, of which the second is the certificate in canonical JSON (RFC 8785).
    pub fn to_sign(&self) -> Result<String, serde_json::Error> {
        let json = remit_trust::canonical(self)?;
        // Canonical JSON is UTF-8, and has no line breaks.
        Ok(format!("remit.certificate.v1\n{}\n", String::from_utf8_lossy(&json)))
    }

    /// What revoking the identity revokes.
    #[must_use]
    pub fn identity(&self) -> Basis {
        Basis::identity(&self.principal, &self.issuer, &self.claims)
    }

    /// Whether the key counts at that time.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// A certificate that the host signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certified {
    /// The certificate.
    pub certificate: Certificate,
    /// The signature by the log's key over [`Certificate::to_sign`], as in a signed note: `— NAME BASE64`.
    pub signature: String,
}

/// What happened to authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerEvent {
    /// A request was made; always the first act about a request.
    Requested(SignedStatement),
    /// A principal approved the request.
    Approved(SignedStatement),
    /// A principal denied the request: it gives no authority from then on.
    RequestDenied(SignedStatement),
    /// Something that the approvals depended on changed: the request gives no authority from then on.
    Voided {
        /// Which of these things changed.
        why: String,
    },
    /// The request expired without a run.
    Expired,
    /// Authority was revoked.
    Revoked {
        /// The signed order to revoke, with its reason.
        statement: SignedStatement,
        /// What gives no authority any more.
        revocations: Vec<Revocation>,
    },
    /// Nothing starts or continues until [`LedgerEvent::Unfrozen`].
    Frozen(SignedStatement),
    /// Runs may start and continue again, unless the host was frozen once more.
    Unfrozen {
        /// The signed order to unfreeze, with its reason.
        statement: SignedStatement,
        /// How many records the journal had when the order was made. A freeze that is none of them stays in force.
        seen: u64,
    },
    /// A person reviewed a run that was started without the usual policy.
    Reviewed {
        /// The signed order to review, with its reason.
        statement: SignedStatement,
        /// The run that was reviewed.
        run: RunId,
    },
    /// The host certified a key: what it signs until its end is a principal's.
    Certified(Box<Certified>),
    /// An ID token was exchanged for a key. It is worth none a second time.
    Exchanged {
        /// The issuer of the token.
        issuer: String,
        /// The digest of the token.
        token: Digest,
    },
    /// The host reminds of runs that were started without the usual policy, and that nobody has reviewed.
    ReviewDue {
        /// The runs.
        runs: Vec<RunId>,
        /// How many times each of them has been reminded of, with this one.
        reminder: u32,
    },
    /// A notifier delivered every event up to a record, or a principal gave up those that it could not deliver.
    Notified {
        /// The name of the notifier.
        notifier: String,
        /// The number of that record.
        upto: u64,
        /// Who gave up an event that could not be delivered; none when all were delivered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        statement: Option<SignedStatement>,
    },
}

impl LedgerEvent {
    /// The name of the kind, as in the serialised form: `request-denied`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Requested(_) => "requested",
            Self::Approved(_) => "approved",
            Self::RequestDenied(_) => "request-denied",
            Self::Voided { .. } => "voided",
            Self::Expired => "expired",
            Self::Revoked { .. } => "revoked",
            Self::Frozen(_) => "frozen",
            Self::Unfrozen { .. } => "unfrozen",
            Self::Reviewed { .. } => "reviewed",
            Self::Certified(_) => "certified",
            Self::Exchanged { .. } => "exchanged",
            Self::ReviewDue { .. } => "review-due",
            Self::Notified { .. } => "notified",
        }
    }

    /// The principal's statement, if there is one.
    #[must_use]
    pub fn statement(&self) -> Option<&SignedStatement> {
        match self {
            Self::Requested(statement)
            | Self::Approved(statement)
            | Self::RequestDenied(statement)
            | Self::Revoked { statement, .. }
            | Self::Frozen(statement)
            | Self::Unfrozen { statement, .. }
            | Self::Reviewed { statement, .. } => Some(statement),
            Self::Notified { statement, .. } => statement.as_ref(),
            Self::Voided { .. }
            | Self::Expired
            | Self::Certified(_)
            | Self::Exchanged { .. }
            | Self::ReviewDue { .. } => None,
        }
    }
}

/// The end of the authority of one basis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What gives no authority any more.
    pub basis: Basis,
    /// If true, only what was on record before loses its authority; the same basis may give authority again later.
    pub earlier_only: bool,
}

/// Something that authority depends on; as text `KIND:NAME`. Revoking it ends every authority that depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Basis {
    /// A request and its approvals.
    Request(RequestId),
    /// A principal, by name.
    Principal(String),
    /// A key, by its id.
    Key(String),
    /// An identity of a principal by the tokens of an issuer, by a digest in text.
    Identity(String),
    /// An action, by its digest in text.
    Action(String),
    /// A connector, by the digest of its component in text.
    Connector(String),
    /// All authority that exists when it is revoked.
    All,
    /// That the host is not frozen. Every run depends on it, rehearsals too.
    Thaw,
}

impl Basis {
    /// The identity that a principal has by tokens of this issuer with these claims.
    #[must_use]
    pub fn identity(principal: &str, issuer: &str, claims: &BTreeMap<String, Claim>) -> Self {
        // Names and URLs have no spaces. Claims always have a JSON form.
        let claims = serde_json::to_string(claims).unwrap_or_default();
        Self::Identity(Digest::of(format!("{principal} {issuer} {claims}").as_bytes()).to_string())
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => write!(f, "request:{request}"),
            Self::Principal(name) => write!(f, "principal:{name}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Identity(digest) => write!(f, "identity:{digest}"),
            Self::Action(digest) => write!(f, "action:{digest}"),
            Self::Connector(digest) => write!(f, "connector:{digest}"),
            Self::All => f.write_str("all"),
            Self::Thaw => f.write_str("thaw"),
        }
    }
}

impl FromStr for Basis {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "`{}` is not a basis of authority (request:, principal:, key:, identity:, action:, connector:, all or thaw)",
                text.escape_debug()
            )
        };
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            None if text == "thaw" => Ok(Self::Thaw),
            Some(("request", name)) => name.parse().map(Self::Request).map_err(|_| unknown()),
            Some(("principal", name)) => Ok(Self::Principal(name.to_owned())),
            Some(("key", id)) => Ok(Self::Key(id.to_owned())),
            Some(("identity", digest)) => Ok(Self::Identity(digest.to_owned())),
            Some(("action", digest)) => Ok(Self::Action(digest.to_owned())),
            Some(("connector", digest)) => Ok(Self::Connector(digest.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for Basis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Basis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why an authority ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The basis that was revoked.
    pub basis: Basis,
    /// Who revoked it, and why.
    pub why: String,
}

impl Withdrawn {
    /// What to do about it. A new request helps, except while the host is frozen.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.basis {
            Basis::Thaw => {
                "this host is frozen: no run starts, not even a rehearsal, until somebody who may do so lifts the freeze (`remit unfreeze`); `remit status` says who froze it. Approvals stay valid until they expire"
            }
            _ => {
                "`remit requests --all` says who revoked it, and why; if the repair is still needed, make a new request: `remit request`"
            }
        }
    }
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.basis {
            Basis::Thaw => write!(f, "everything is frozen ({})", self.why),
            Basis::All => write!(f, "all authority was revoked ({})", self.why),
            Basis::Request(request) => write!(f, "{request} gives no authority any more ({})", self.why),
            Basis::Principal(name) => write!(f, "the principal {name} was revoked ({})", self.why),
            Basis::Key(id) => {
                write!(f, "the key {} was revoked ({})", id.get(..12).unwrap_or(id), self.why)
            }
            Basis::Identity(_) => {
                write!(f, "the identity by which its token is the principal's was revoked ({})", self.why)
            }
            Basis::Action(digest) => write!(f, "the action {digest} was revoked ({})", self.why),
            Basis::Connector(digest) => write!(f, "the connector {digest} was revoked ({})", self.why),
        }
    }
}

/// What a [`LedgerEvent`] changes in the tables of the journal. The writer and the audit both follow this.
pub(crate) enum AuthorityChange {
    /// These give no authority any more, and why.
    Revokes(Vec<Revocation>, String),
    /// The host is not frozen any more, if every freeze has a number below this.
    Thaws(u64),
    /// This notifier delivered everything up to that record.
    Notified(String, u64),
}

impl Act {
    pub(crate) fn change(&self) -> Option<AuthorityChange> {
        use AuthorityChange::{Notified, Revokes, Thaws};
        let said = |statement: &SignedStatement| format!("{}: {}", statement.principal, statement.reason);
        let for_good = |basis| vec![Revocation { basis, earlier_only: false }];
        match (&self.event, self.about) {
            (LedgerEvent::Revoked { statement, revocations }, _) => {
                Some(Revokes(revocations.clone(), said(statement)))
            }
            (LedgerEvent::RequestDenied(statement), About::Request(request)) => {
                Some(Revokes(for_good(Basis::Request(request)), format!("denied by {}", said(statement))))
            }
            (LedgerEvent::Voided { why }, About::Request(request)) => {
                Some(Revokes(for_good(Basis::Request(request)), why.clone()))
            }
            // Every run depends on it since record 0, so that each freeze stops every run. The number of the newest freeze
            // decides which order lifts it.
            (LedgerEvent::Frozen(statement), _) => {
                Some(Revokes(vec![Revocation { basis: Basis::Thaw, earlier_only: true }], said(statement)))
            }
            (LedgerEvent::Unfrozen { seen, .. }, _) => Some(Thaws(*seen)),
            (LedgerEvent::Notified { notifier, upto, .. }, _) => Some(Notified(notifier.clone(), *upto)),
            _ => None,
        }
    }
}

impl Revocation {
    /// The first record number that keeps its authority: everything on record before it loses it. `seq` is the number of
    /// the record that revokes.
    pub(crate) fn before(&self, seq: u64) -> u64 {
        if self.earlier_only { seq } else { u64::MAX >> 1 }
    }
}
