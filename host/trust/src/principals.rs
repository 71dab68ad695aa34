//! The principals of a home: people and software identities, each with its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::issuers::{Accepts, Issuer, Proof, TokenIdentity};
use crate::{Digest, KeyError, KeyId, Passkeys, VerifyingKey, canonical};

/// The kind of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A human being.
    Human,
    /// Software that decides by itself what to propose.
    Agent,
    /// Software with a fixed behaviour.
    Service,
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Service => "service",
        })
    }
}

/// A person or a software identity.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The name, unique in the home.
    pub name: String,
    /// Whether it is a person or a kind of software.
    pub kind: PrincipalKind,
    /// The names of its groups.
    pub groups: BTreeSet<String>,
    /// The name of the person who operates it; none for a person, and for software of nobody in particular.
    pub operator: Option<String>,
    /// All its keys, including those that are not valid now.
    pub keys: Vec<PrincipalKey>,
    /// The tokens that prove its identity. Only software has any: whoever can have a platform issue a token acts as it.
    pub identities: Vec<TokenIdentity>,
}

/// A key of a principal, and when it is valid.
#[derive(Clone, Debug)]
pub struct PrincipalKey {
    /// The public key.
    pub key: VerifyingKey,
    /// The start of its validity; none for no limit.
    pub from: Option<Timestamp>,
    /// The end of its validity; none for no limit. Older signatures remain verifiable.
    pub until: Option<Timestamp>,
    /// Whether it is a passkey that never leaves its device, as the administrator says and as each signature must say.
    pub device_bound: bool,
}

impl PrincipalKey {
    /// How its holder proves to be the principal.
    #[must_use]
    pub fn proof(&self) -> Proof {
        if self.key.passkey_of().is_some() { Proof::Passkey } else { Proof::Key }
    }
}

/// Who may allow a run without the usual policy (`[break_glass]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// How many people must approve.
    pub quorum: usize,
    /// The group that they must be in.
    pub group: String,
}

/// All principals of a home.
#[derive(Clone, Debug)]
pub struct Principals {
    by_name: BTreeMap<String, Principal>,
    /// The name of the principal that has the key.
    holders: BTreeMap<KeyId, String>,
    issuers: Vec<Issuer>,
    passkeys: Option<Passkeys>,
    break_glass: Option<BreakGlass>,
    digest: Digest,
}

/// Why a file of principals cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PrincipalsError {
    /// The file is not TOML, or has unknown or missing fields.
    #[error("{file} is not a valid file of principals:\n{detail}")]
    #[diagnostic(
        code(usage::principals),
        help("correct the line it points at; docs/authority.md has the form")
    )]
    Malformed {
        /// The path of the file.
        file: String,
        /// The parser's message, with line and caret.
        detail: String,
    },
    /// A value in the file is wrong.
    #[error("{file}: {detail}")]
    #[diagnostic(code(usage::principals), help("correct it; docs/authority.md has the form"))]
    Value {
        /// The path of the file.
        file: String,
        /// The principal, and what is wrong.
        detail: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] remit_file::FileError),
    /// One of the key files cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] KeyError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    #[serde(default)]
    issuer: Vec<Issuer>,
    #[serde(default)]
    principal: Vec<Written>,
    #[serde(default)]
    passkeys: Option<Passkeys>,
    #[serde(default, rename = "break-glass")]
    break_glass: Option<BreakGlass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    kind: PrincipalKind,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    operator: Option<String>,
    #[serde(default)]
    key: Vec<WrittenKey>,
    #[serde(default)]
    identity: Vec<TokenIdentity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    public: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    from: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    until: Option<Timestamp>,
    #[serde(default, rename = "device-bound")]
    device_bound: bool,
}

/// Reads a TOML date and time, which must have an offset: without one, the moment would depend on the machine.
fn moment<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let written = toml::value::Datetime::deserialize(from)?;
    let moment = written.to_string().parse();
    moment.map(Some).map_err(|_| {
        serde::de::Error::custom(format!("`{written}` is no moment; write it like 2026-01-01T00:00:00Z"))
    })
}

/// The content that the digest covers: the meaning, not the layout.
#[derive(Serialize)]
struct Meaning<'a> {
    issuers: &'a [Issuer],
    principals: Vec<PrincipalMeaning<'a>>,
    break_glass: &'a Option<BreakGlass>,
    #[serde(skip_serializing_if = "Option::is_none")]
    passkeys: &'a Option<Passkeys>,
    /// The ids of the passkeys that never leave their devices.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    device_bound: BTreeSet<String>,
}

#[derive(Serialize)]
struct PrincipalMeaning<'a> {
    name: &'a str,
    kind: PrincipalKind,
    groups: &'a BTreeSet<String>,
    operator: &'a Option<String>,
    keys: Vec<KeyMeaning>,
    identities: &'a [TokenIdentity],
}

type KeyMeaning = (String, Option<Timestamp>, Option<Timestamp>);

/// Whether a name has only lower-case letters and digits, with single `-`, `.` or `_` between them.
fn is_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 64
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || matches!(c, '-' | '.' | '_'))
}

/// What is wrong with an issuer, after those before it; none if nothing is.
fn wrong_issuer(issuer: &Issuer, before: &[Issuer]) -> Option<String> {
    if !is_name(&issuer.name) {
        return Some(format!("`{}` is no name for an issuer", issuer.name.escape_debug()));
    }
    let same = |other: &&Issuer| {
        other.name == issuer.name || (&other.url, other.accepts) == (&issuer.url, issuer.accepts)
    };
    if let Some(other) = before.iter().find(same) {
        return Some(format!("the issuers {} and {} are one: name it once", other.name, issuer.name));
    }
    // A bearer token must not be worth a key: whoever saw it on its way could exchange it.
    let both = |other: &&Issuer| (&other.url, &other.audience) == (&issuer.url, &issuer.audience);
    if let Some(other) = before.iter().find(both) {
        return Some(format!(
            "the issuers {} and {} have the same audience: tokens for one would be good for the other",
            other.name, issuer.name
        ));
    }
    issuer.wrong()
}

/// What is wrong with the identities of a principal; none if nothing is.
fn wrong_identities(
    name: &str,
    kind: PrincipalKind,
    identities: &[TokenIdentity],
    issuers: &[Issuer],
) -> Option<String> {
    if kind == PrincipalKind::Human && !identities.is_empty() {
        return Some(format!(
            "{name} is a person: a token is held by software, so that a person needs a key. Make the software a principal with `operator = \"{name}\"`"
        ));
    }
    identities.iter().find_map(|identity| {
        let Some(issuer) = issuers.iter().find(|issuer| issuer.name == identity.issuer) else {
            let shown: String = identity.issuer.escape_debug().take(70).collect();
            return Some(format!("an identity of {name} is by `{shown}`, which no [[issuer]] is called"));
        };
        identity.wrong(name, issuer)
    })
}

/// What is wrong with a key as a passkey; none if nothing is, or if it is none.
fn wrong_passkey(
    name: &str,
    kind: PrincipalKind,
    (key, device_bound): (&VerifyingKey, bool),
    passkeys: Option<&Passkeys>,
) -> Option<String> {
    let shown = |text: &str| text.escape_debug().take(80).collect::<String>();
    let short = key.id().short().to_owned();
    match (key.passkey_of(), passkeys) {
        (None, _) => {
            device_bound.then(|| format!("the key {short} of {name} is no passkey: remove `device-bound`"))
        }
        (Some(_), _) if kind != PrincipalKind::Human => Some(format!(
            "{name} is software and has a passkey: its device asks a person each time. Give it a key of another kind"
        )),
        (Some(rp), None) => Some(format!(
            "the key {short} of {name} is a passkey for {}, and the file does not say where passkeys sign: add [passkeys] with `rp` and `origins`",
            shown(rp)
        )),
        (Some(rp), Some(passkeys)) if rp != passkeys.rp => Some(format!(
            "the key {short} of {name} is a passkey for {}, and `rp` of [passkeys] is {}",
            shown(rp),
            passkeys.rp
        )),
        (Some(_), Some(_)) => None,
    }
}

/// What is wrong with the operator of a principal; none if nothing is.
fn wrong_operator(of: &Principal, all: &BTreeMap<String, Principal>) -> Option<String> {
    let (name, operator) = (&of.name, of.operator.as_ref()?);
    let shown = operator.escape_debug();
    if of.kind == PrincipalKind::Human {
        return Some(format!("{name} is a person, and nobody operates a person: remove `operator`"));
    }
    match all.get(operator) {
        None => Some(format!("{name} is operated by `{shown}`, which is no principal of this file")),
        Some(person) if person.kind != PrincipalKind::Human => Some(format!(
            "{name} is operated by {shown}, which is software: name the person who answers for both"
        )),
        Some(_) => None,
    }
}

impl Principals {
    /// Reads the file and the key files that it names, whose paths are relative to it.
    pub fn load(path: &Path) -> Result<Self, PrincipalsError> {
        let read = remit_file::trusted(path, remit_file::Kind::Principals)?;
        Self::parse(read.text()?, read.shown(), path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads the text of such a file. `shown` is its name in errors; paths of key files are relative to `base`.
    pub fn parse(text: &str, shown: &str, base: &Path) -> Result<Self, PrincipalsError> {
        let written: WrittenFile = remit_text::toml::read(text).map_err(|mistake| {
            PrincipalsError::Malformed { file: shown.to_owned(), detail: mistake.to_string() }
        })?;
        let wrong = |detail: String| Err(PrincipalsError::Value { file: shown.to_owned(), detail });
        let mut issuers = written.issuer;
        for at in 0..issuers.len() {
            if let Some(file) = &issuers[at].ca {
                let file = remit_file::trusted(&base.join(file), remit_file::Kind::Certificates)?;
                issuers[at].ca = Some(file.into_text()?);
            }
            if let Some(why) = wrong_issuer(&issuers[at], &issuers[..at]) {
                return wrong(why);
            }
        }
        if let Some(why) = written.passkeys.as_ref().and_then(Passkeys::wrong) {
            return wrong(why);
        }
        let mut by_name = BTreeMap::new();
        let mut holders: BTreeMap<KeyId, String> = BTreeMap::new();
        for Written { name, kind, groups, operator, key, identity } in written.principal {
            let named = name.escape_debug().take(70).collect::<String>();
            if !is_name(&name) {
                return wrong(format!(
                    "`{named}` is no name for a principal: lower-case letters, digits, `-`, `.` and `_`"
                ));
            }
            if let Some(group) = groups.iter().find(|group| !is_name(group)) {
                return wrong(format!("`{}` is no name for a group", group.escape_debug()));
            }
            if key.is_empty() && identity.is_empty() {
                return wrong(format!("{name} has no key: it could never prove to be itself"));
            }
            if let Some(why) = wrong_identities(&name, kind, &identity, &issuers) {
                return wrong(why);
            }
            let mut keys = Vec::new();
            for WrittenKey { file, public, from, until, device_bound } in key {
                let read = match (file, public) {
                    (Some(file), None) => VerifyingKey::load_trusted(&base.join(file))?,
                    (None, Some(text)) => VerifyingKey::from_text(&text, &format!("a key of {name}"))?,
                    _ => return wrong(format!("a key of {name} needs either `file` or `public`")),
                };
                if let (Some(from), Some(until)) = (from, until)
                    && until <= from
                {
                    return wrong(format!(
                        "a key of {name} counts until {until}, before it begins to, {from}"
                    ));
                }
                if let Some(holder) = holders.insert(read.id(), name.clone()) {
                    return wrong(format!(
                        "{name} has the key {} that {} has: one key proves one identity, in whatever form it is written",
                        read.id().short(),
                        if holder == name { "it already has".to_owned() } else { holder },
                    ));
                }
                if let Some(why) =
                    wrong_passkey(&name, kind, (&read, device_bound), written.passkeys.as_ref())
                {
                    return wrong(why);
                }
                let key = match &written.passkeys {
                    Some(passkeys) => read.of_rules(passkeys, device_bound),
                    None => read,
                };
                keys.push(PrincipalKey { key, from, until, device_bound });
            }
            let principal =
                Principal { name: name.clone(), kind, groups, operator, keys, identities: identity };
            if by_name.insert(name.clone(), principal).is_some() {
                return wrong(format!("{name} is there twice"));
            }
        }
        for principal in by_name.values() {
            if let Some(why) = wrong_operator(principal, &by_name) {
                return wrong(why);
            }
        }
        let mut owners = BTreeMap::new();
        let identities =
            by_name.values().flat_map(|one: &Principal| one.identities.iter().map(move |id| (id, one)));
        for (identity, principal) in identities {
            if let Some(other) = owners.insert(identity, &principal.name) {
                let both =
                    if *other == principal.name { "twice".to_owned() } else { format!("and {other} too") };
                return wrong(format!(
                    "{} has an identity by {} {both}: one token proves one identity",
                    principal.name, identity.issuer
                ));
            }
        }
        if let Some(BreakGlass { quorum, group }) = &written.break_glass
            && (*quorum == 0 || !is_name(group))
        {
            return wrong("[break-glass] needs a quorum of at least 1 and the name of a group".to_owned());
        }
        let meaning = Meaning {
            issuers: &issuers,
            principals: by_name
                .values()
                .map(|principal: &Principal| {
                    let keys = principal.keys.iter().map(|key| (key.key.to_text(), key.from, key.until));
                    PrincipalMeaning {
                        name: &principal.name,
                        kind: principal.kind,
                        groups: &principal.groups,
                        operator: &principal.operator,
                        keys: keys.collect(),
                        identities: &principal.identities,
                    }
                })
                .collect(),
            break_glass: &written.break_glass,
            passkeys: &written.passkeys,
            device_bound: by_name
                .values()
                .flat_map(|principal: &Principal| &principal.keys)
                .filter(|key| key.device_bound)
                .map(|key| key.key.id().to_string())
                .collect(),
        };
        let digest = match canonical(&meaning) {
            Ok(bytes) => Digest::of(&bytes),
            Err(error) => return wrong(error.to_string()),
        };
        let (passkeys, break_glass) = (written.passkeys, written.break_glass);
        Ok(Self { by_name, holders, issuers, passkeys, break_glass, digest })
    }

    /// The digest of the meaning of the file and its keys. Files with the same meaning have the same digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// All principals, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Principal> {
        self.by_name.values()
    }

    /// The principal of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Principal> {
        self.by_name.get(name)
    }

    /// The principal that has this key, whether or not the key is valid now.
    #[must_use]
    pub fn holder(&self, key: &KeyId) -> Option<&Principal> {
        self.get(self.holders.get(key)?)
    }

    /// Every key, whether or not it is valid now, to verify old signatures.
    #[must_use]
    pub fn keys(&self) -> Vec<VerifyingKey> {
        self.iter().flat_map(|principal| principal.keys.iter().map(|held| held.key.clone())).collect()
    }

    /// A key with what the file says of it, whether or not it is valid now.
    #[must_use]
    pub fn key(&self, key: &KeyId) -> Option<&PrincipalKey> {
        self.holder(key)?.keys.iter().find(|held| held.key.id() == *key)
    }

    /// Where passkeys sign; none if the file does not say so, and then there are none.
    #[must_use]
    pub fn passkeys(&self) -> Option<&Passkeys> {
        self.passkeys.as_ref()
    }

    /// Whether a key is valid at that time.
    #[must_use]
    pub fn in_force(&self, key: &KeyId, at: Timestamp) -> bool {
        self.key(key).is_some_and(|held| {
            held.from.is_none_or(|from| from <= at) && held.until.is_none_or(|until| at < until)
        })
    }

    /// The issuers of tokens.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// The issuer with that URL whose tokens are taken so.
    #[must_use]
    pub fn issuer(&self, url: &str, accepts: Accepts) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.url == url && issuer.accepts == accepts)
    }

    /// The principals that may allow a break-glass run; none if the file names none.
    #[must_use]
    pub fn break_glass(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }
}
