//! The other half of the journal: what principals and the host did about authority. One [`Act`] per thing
//! asked for, approved, denied, revoked or told; in the same log, under the same signatures, as the [`crate::Record`]s
//! of the runs.
//!
//! Serialised, an act is `{"about": …, "at": …, "deed": {KIND: BODY}}`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::name::Filed;
use crate::{RequestId, RunId};

/// What an act is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// One request, and whatever is done under it.
    Request(RequestId),
    /// This host as a whole.
    Host,
}

impl About {
    pub(crate) fn filed(&self) -> Filed {
        match self {
            Self::Request(request) => request.filed(),
            Self::Host => Filed::word(HOST),
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Host => f.pad(HOST),
        }
    }
}

/// What acts about the whole host are filed under.
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
        text.parse().map(Self::Request).map_err(serde::de::Error::custom)
    }
}

/// One entry of the journal that belongs to no run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Act {
    /// What it is about.
    pub about: About,
    /// When the host wrote it, by the host's clock.
    pub at: Timestamp,
    /// What was done.
    pub deed: Deed,
}

impl Act {
    /// An act, now.
    #[must_use]
    pub fn now(about: About, deed: Deed) -> Self {
        Self { about, at: Timestamp::now(), deed }
    }
}

/// What a principal said, and the proof that it did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Word {
    /// Who.
    pub principal: String,
    /// The id of the key that signed it.
    pub key: String,
    /// Why, in the principal's words.
    pub reason: String,
    /// The DSSE envelope, as signed.
    pub document: Box<RawValue>,
}

/// What was done about authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Authority was asked for; always the first act about a request.
    Requested(Word),
    /// A principal approved.
    Approved(Word),
    /// A principal said no: the request gives no authority from then on.
    RequestDenied(Word),
    /// What the approvals rested on is not so any more: the request gives no authority from then on.
    Voided {
        /// What changed.
        why: String,
    },
    /// Its time passed without a run.
    Expired,
    /// Authority was taken away.
    Revoked {
        /// By whom, and why.
        word: Word,
        /// What gives none any more.
        strikes: Vec<Strike>,
    },
    /// Nothing starts or goes on until [`Deed::Unfrozen`].
    Frozen(Word),
    /// It may again.
    Unfrozen(Word),
    /// A person looked at a run that went without the usual policy.
    Reviewed {
        /// Who, and what they found.
        word: Word,
        /// Which run.
        run: RunId,
    },
    /// Everything worth telling up to a record was told, or given up.
    Notified {
        /// Through which of the configured ways.
        notifier: String,
        /// The number of that record.
        upto: u64,
        /// Who gave up what could not be told; none when all of it was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<Word>,
    },
}

impl Deed {
    /// The kind's name, as in the serialised form: `request-denied`.
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
            Self::Unfrozen(_) => "unfrozen",
            Self::Reviewed { .. } => "reviewed",
            Self::Notified { .. } => "notified",
        }
    }

    /// What a principal said in it, if one did.
    #[must_use]
    pub fn word(&self) -> Option<&Word> {
        match self {
            Self::Requested(word)
            | Self::Approved(word)
            | Self::RequestDenied(word)
            | Self::Revoked { word, .. }
            | Self::Frozen(word)
            | Self::Unfrozen(word)
            | Self::Reviewed { word, .. } => Some(word),
            Self::Notified { word, .. } => word.as_ref(),
            Self::Voided { .. } | Self::Expired => None,
        }
    }
}

/// Something that gives no authority any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// What: see [`Ground`].
    pub ground: Ground,
    /// Only what was on record before: the same may give authority anew.
    pub earlier_only: bool,
}

/// Something that authority rests on, in text `KIND:NAME`: take it away, and what rests on it falls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ground {
    /// A request and its approvals.
    Request(RequestId),
    /// A principal, by name.
    Principal(String),
    /// A key, by its id.
    Key(String),
    /// An action, by its digest in text.
    Action(String),
    /// Every authority there is.
    All,
    /// That the host is not frozen: under every run, rehearsals too.
    Thaw,
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => write!(f, "request:{request}"),
            Self::Principal(name) => write!(f, "principal:{name}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Action(digest) => write!(f, "action:{digest}"),
            Self::All => f.write_str("all"),
            Self::Thaw => f.write_str("thaw"),
        }
    }
}

impl FromStr for Ground {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{}` is nothing that authority rests on", text.escape_debug());
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            None if text == "thaw" => Ok(Self::Thaw),
            Some(("request", name)) => name.parse().map(Self::Request).map_err(|_| unknown()),
            Some(("principal", name)) => Ok(Self::Principal(name.to_owned())),
            Some(("key", id)) => Ok(Self::Key(id.to_owned())),
            Some(("action", digest)) => Ok(Self::Action(digest.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for Ground {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ground {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why authority that was there is there no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// What was taken away.
    pub ground: Ground,
    /// By whom, and why.
    pub why: String,
}

impl Withdrawn {
    /// What to do about it. To ask again helps where a request lost its ground, and not while nothing may start at all.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.ground {
            Ground::Thaw => {
                "this host is frozen: nothing starts, rehearsals neither, until somebody who may lifts it (`remit unfreeze`); `remit status` tells who froze it. What was approved stays approved until its time is over"
            }
            _ => {
                "`remit requests --all` tells who took it away, and why; if the repair is still needed, ask again: `remit request`"
            }
        }
    }
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ground {
            Ground::Thaw => write!(f, "everything is frozen ({})", self.why),
            Ground::All => write!(f, "all authority was revoked ({})", self.why),
            Ground::Request(request) => write!(f, "{request} gives no authority any more ({})", self.why),
            Ground::Principal(name) => write!(f, "the principal {name} was revoked ({})", self.why),
            Ground::Key(id) => {
                write!(f, "the key {} was revoked ({})", id.get(..12).unwrap_or(id), self.why)
            }
            Ground::Action(digest) => write!(f, "the action {digest} was revoked ({})", self.why),
        }
    }
}

/// What a [`Deed`] changes in the tables of the journal. The writer and the audit both follow this.
pub(crate) enum AuthorityChange {
    /// These give no authority any more, and why.
    Revokes(Vec<Strike>, String),
    /// This gives authority again.
    Restores(Ground),
    /// This notifier delivered everything up to that record.
    Notified(String, u64),
}

impl Act {
    pub(crate) fn change(&self) -> Option<AuthorityChange> {
        use AuthorityChange::{Notified, Restores, Revokes};
        let said = |word: &Word| format!("{}: {}", word.principal, word.reason);
        let for_good = |ground| vec![Strike { ground, earlier_only: false }];
        match (&self.deed, self.about) {
            (Deed::Revoked { word, strikes }, _) => Some(Revokes(strikes.clone(), said(word))),
            (Deed::RequestDenied(word), About::Request(request)) => {
                Some(Revokes(for_good(Ground::Request(request)), format!("denied by {}", said(word))))
            }
            (Deed::Voided { why }, About::Request(request)) => {
                Some(Revokes(for_good(Ground::Request(request)), why.clone()))
            }
            (Deed::Frozen(word), _) => Some(Revokes(for_good(Ground::Thaw), said(word))),
            (Deed::Unfrozen(_), _) => Some(Restores(Ground::Thaw)),
            (Deed::Notified { notifier, upto, .. }, _) => Some(Notified(notifier.clone(), *upto)),
            _ => None,
        }
    }
}

impl Strike {
    /// The first record number that keeps its authority: everything on record before it loses it. `seq` is the number of
    /// the record that revokes.
    pub(crate) fn before(&self, seq: u64) -> u64 {
        if self.earlier_only { seq } else { u64::MAX >> 1 }
    }
}
