//! Issuers of tokens (OpenID Connect), and what a token must say to prove a principal's identity. Both are part of the signed
//! rules: an issuer that is not named there proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use remit_text::Address;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jws::{Jwk, Unverified};

/// How a principal proved that it is the one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// With a key of its own, which `principals.toml` names.
    #[default]
    Key,
    /// With a key that it made up, for which it exchanged an ID token of its platform.
    IdToken,
    /// With a bearer token: whoever holds the token can do the same.
    Token,
}

impl Proof {
    /// The names of all, as policies and the journal have them.
    pub const NAMES: [&'static str; 3] = ["key", "id-token", "token"];

    /// The name, as policies and the journal have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::IdToken => "id-token",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The platform that issues tokens. It decides which claims tell one job from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// GitHub Actions.
    Github,
    /// GitLab CI/CD.
    Gitlab,
    /// Any other issuer of OpenID Connect.
    Oidc,
}

/// What the tokens of an issuer are taken as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accepts {
    /// As ID tokens: exchanged once, for a key that the client made up.
    #[default]
    Exchange,
    /// As bearer tokens: sent with each call.
    Bearer,
}

impl Accepts {
    /// What such a token proves.
    #[must_use]
    pub fn proof(self) -> Proof {
        match self {
            Self::Exchange => Proof::IdToken,
            Self::Bearer => Proof::Token,
        }
    }
}

/// An issuer of tokens (`[[issuer]]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The name, unique in the file.
    pub name: String,
    /// The platform.
    pub kind: IssuerKind,
    /// Exactly what its tokens have as `iss`.
    pub url: String,
    /// Exactly what its tokens must have as `aud`: a name of this home that no other service has.
    pub audience: String,
    /// What its tokens are taken as.
    #[serde(default)]
    pub accepts: Accepts,
    /// Where its public keys are; if it is not named, the issuer's discovery document says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// The certificates that are trusted in place of the public ones, in PEM. In the file, the name of the file with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// For how long a token is worth a key: at most 10 minutes.
    #[serde(default = "longest")]
    pub ttl: SignedDuration,
}

/// The longest time that a token is worth a key.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

fn longest() -> SignedDuration {
    LONGEST
}

/// By how much the clocks of an issuer and this host may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// What GitHub's tokens have as `iss`.
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// The address of a URL that is over TLS or stays on this machine, and has neither query nor fragment.
fn safe(url: &str) -> Option<Address> {
    Address::parse(url).ok().filter(|_| !url.contains(['?', '#']))
}

impl Issuer {
    /// What is wrong with it; none if nothing is.
    pub(crate) fn wrong(&self) -> Option<String> {
        let name = &self.name;
        let shown = |text: &str| text.escape_debug().take(80).collect::<String>();
        if safe(&self.url).is_none() || self.url.ends_with('/') && self.url.matches('/').count() == 3 {
            return Some(format!(
                "the issuer {name}: `{}` is no `url`: write exactly what its tokens have as `iss`, with https (http on this machine only)",
                shown(&self.url)
            ));
        }
        if let Some(jwks) = self.jwks.as_deref().filter(|jwks| safe(jwks).is_none()) {
            return Some(format!(
                "the issuer {name}: `{}` is no `jwks`: it needs https (http on this machine only)",
                shown(jwks)
            ));
        }
        if self.audience.trim().is_empty() {
            return Some(format!("the issuer {name} has no `audience`: name what its tokens are for"));
        }
        if self.ttl <= SignedDuration::ZERO || self.ttl > LONGEST {
            return Some(format!("the issuer {name}: `ttl` must be more than 0 and at most 10m"));
        }
        if self.url.starts_with(GITHUB) && self.kind != IssuerKind::Github {
            return Some(format!("the issuer {name} is GitHub: its `kind` is \"github\""));
        }
        None
    }

    /// Where the issuer says by itself where its keys are.
    #[must_use]
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/'))
    }

    /// Where its keys are, by its discovery document. It may name no other host: only URLs of the signed rules are asked.
    pub fn discovered(&self, document: &str) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let told: Discovery = remit_text::json::read(document)
            .map_err(|mistake| format!("its discovery document cannot be read: {}", mistake.why()))?;
        if told.issuer != self.url {
            let other: String = told.issuer.escape_debug().take(80).collect();
            return Err(format!("its discovery document is that of another issuer, `{other}`"));
        }
        let origin = |url| safe(url).map(|address| address.origin().to_owned());
        if origin(&told.jwks_uri).is_none() || origin(&told.jwks_uri) != origin(&self.url) {
            let other: String = told.jwks_uri.escape_debug().take(200).collect();
            return Err(format!(
                "its keys are on another host, at `{other}`: if that is right, name it as `jwks` in principals.toml"
            ));
        }
        Ok(told.jwks_uri)
    }
}

/// What a claim must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    /// This text.
    Text(String),
    /// This number.
    Number(i64),
    /// This truth value.
    Truth(bool),
}

impl Claim {
    /// Whether a value in a token is this, in the same type.
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Number(number) => value.as_i64() == Some(*number),
            Self::Truth(truth) => value.as_bool() == Some(*truth),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}

/// What a token of an issuer must say so that it is a principal's (`[[principal.identity]]`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the issuer.
    pub issuer: String,
    /// The claims by name. All of them must be there, and be the same.
    #[serde(flatten)]
    pub claims: BTreeMap<String, Claim>,
}

/// The claims that say from where a job is: they must be named. Then those that may be named.
fn known_claims(kind: IssuerKind) -> Option<(&'static [&'static str], &'static [&'static str])> {
    match kind {
        IssuerKind::Github => Some((
            &["repository_id", "repository_owner_id"],
            &["environment", "ref", "event_name", "job_workflow_ref"],
        )),
        IssuerKind::Gitlab => Some((
            &["project_id", "namespace_id"],
            &["ref", "ref_type", "ref_protected", "environment", "pipeline_source"],
        )),
        IssuerKind::Oidc => None,
    }
}

/// The claims that are checked of every token, whatever an identity says.
const CHECKED: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];

impl Identity {
    /// What is wrong with it; none if nothing is.
    pub(crate) fn wrong(&self, of: &str, issuer: &Issuer) -> Option<String> {
        let wrong = |why: String| Some(format!("an identity of {of} by {}: {why}", issuer.name));
        let shown = |text: &str| text.escape_debug().take(80).collect::<String>();
        let Some((needed, others)) = known_claims(issuer.kind) else {
            if let Some(name) = self.claims.keys().find(|name| CHECKED.contains(&name.as_str())) {
                return wrong(format!("`{name}` is checked of every token: name another claim"));
            }
            if self.claims.is_empty() {
                return wrong(
                    "it names no claim, so any token of that issuer would be this principal's".to_owned(),
                );
            }
            return None;
        };
        if let Some(missing) = needed.iter().find(|name| !self.claims.contains_key(**name)) {
            return wrong(format!(
                "it does not name `{missing}`, so a job of somebody else could be this principal's"
            ));
        }
        for (name, claim) in &self.claims {
            if !needed.contains(&name.as_str()) && !others.contains(&name.as_str()) {
                let all = [needed, others].concat().join(", ");
                return wrong(format!("`{}` is none of its claims: {all}", shown(name)));
            }
            let Claim::Text(text) = claim else {
                return wrong(format!("`{name}` is a text in its tokens: write it in quotes"));
            };
            if needed.contains(&name.as_str())
                && (text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()))
            {
                return wrong(format!("`{name}` is a number in quotes, and not `{}`", shown(text)));
            }
            if text.is_empty() {
                return wrong(format!("`{name}` is empty"));
            }
            if is_pull_request(issuer.kind, name, text) {
                return wrong(
                    "what a pull request brings is nobody's yet: no `event_name` of pull requests".to_owned(),
                );
            }
        }
        None
    }

    /// Whether a token of its issuer is this one's. The claims must have the same types too.
    #[must_use]
    pub fn matches(&self, claims: &Map<String, Value>) -> bool {
        !self.claims.is_empty()
            && self.claims.iter().all(|(name, claim)| claims.get(name).is_some_and(|value| claim.is(value)))
    }
}

/// Whether GitHub says by this claim that a pull request started the job.
fn is_pull_request(kind: IssuerKind, name: &str, value: &str) -> bool {
    kind == IssuerKind::Github && name == "event_name" && value.starts_with("pull_request")
}

/// The public keys of an issuer, as it publishes them (RFC 7517).
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys(Vec<IssuerKey>);

#[derive(Clone, Debug)]
struct IssuerKey {
    kid: String,
    algorithm: Option<String>,
    key: Jwk,
}

impl IssuerKeys {
    /// Reads a set of keys. Keys that are for something else than signatures of these algorithms, or have no name, are left out.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        #[derive(Deserialize)]
        struct Published {
            kid: String,
            #[serde(default)]
            alg: Option<String>,
            #[serde(default, rename = "use")]
            usage: Option<String>,
            #[serde(flatten)]
            key: Jwk,
        }
        let set: Set = remit_text::json::read(text).map_err(|mistake| mistake.why().to_owned())?;
        let read = |value: Value| {
            let Published { kid, alg, usage, key } = serde_json::from_value(value).ok()?;
            let signs = usage.is_none_or(|usage| usage == "sig");
            signs.then_some(IssuerKey { kid, algorithm: alg, key })
        };
        let keys: Vec<_> = set.keys.into_iter().filter_map(read).collect();
        let mut names = BTreeSet::new();
        if let Some(twice) = keys.iter().find(|key| !names.insert(&key.kid)) {
            return Err(format!("two of its keys have the name `{}`", twice.kid.escape_debug()));
        }
        Ok(Self(keys))
    }

    fn get(&self, kid: &str) -> Option<&IssuerKey> {
        self.0.iter().find(|key| key.kid == kid)
    }
}

/// The header of a token. What else it may have (`jku`, `x5u`, `jwk`) is not looked at: keys are the issuer's own.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// A token whose signature was not checked yet.
pub struct Token {
    parsed: Unverified<Header>,
    /// What it says, whoever says so.
    claimed: Map<String, Value>,
}

impl Token {
    /// Takes a token apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = Unverified::<Header>::parse(text)?;
        let claimed = parsed.claimed()?;
        Ok(Self { parsed, claimed })
    }

    /// Whether it says that it is by this issuer.
    #[must_use]
    pub fn claims_issuer(&self, issuer: &Issuer) -> bool {
        self.claimed.get("iss").and_then(Value::as_str) == Some(issuer.url.as_str())
    }

    /// Whether these keys have the one that it names.
    #[must_use]
    pub fn has_key(&self, keys: &IssuerKeys) -> bool {
        keys.get(&self.parsed.header.kid).is_some()
    }

    /// What it says, if the issuer signed it with one of these keys, and it is for this home and valid now.
    pub fn verify(self, issuer: &Issuer, keys: &IssuerKeys, now: Timestamp) -> Result<Verified, String> {
        let header = &self.parsed.header;
        if header.crit.is_some() {
            return Err("it demands something that is not known here (`crit`)".to_owned());
        }
        let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        if typ != "jwt" && !(typ == "at+jwt" && issuer.accepts == Accepts::Bearer) {
            return Err("its `typ` is that of another kind of token".to_owned());
        }
        let key = keys.get(&header.kid).ok_or("it is signed by a key that its issuer does not publish")?;
        if key.algorithm.as_ref().is_some_and(|algorithm| *algorithm != header.alg) {
            return Err("its `alg` is not that of the key which it names".to_owned());
        }
        let claims: Map<String, Value> = self.parsed.verify(&header.alg, &key.key)?;
        Verified::check(claims, issuer, now)
    }
}

/// The claims of a token that is genuine, for this home, and valid now.
#[derive(Clone, Debug)]
pub struct Verified {
    /// All claims.
    pub claims: Map<String, Value>,
    /// The token's own name, which it has for being used once.
    pub jti: String,
    /// Until when the token is valid.
    pub expires: Timestamp,
}

impl Verified {
    fn check(claims: Map<String, Value>, issuer: &Issuer, now: Timestamp) -> Result<Self, String> {
        let text = |name: &str| match claims.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(format!("its `{name}` is no text")),
            None => Err(format!("it has no `{name}`")),
        };
        let time = |name: &str| match claims.get(name).map(Value::as_i64) {
            Some(Some(second)) => {
                Timestamp::from_second(second).map_err(|_| format!("its `{name}` is no time"))
            }
            Some(None) => Err(format!("its `{name}` is no whole number of seconds")),
            None => Err(format!("it has no `{name}`")),
        };
        if text("iss")? != issuer.url {
            return Err("it is by another issuer".to_owned());
        }
        let audience = match claims.get("aud") {
            Some(Value::Array(all)) if all.len() == 1 => all[0].as_str(),
            Some(one) => one.as_str(),
            None => return Err("it has no `aud`".to_owned()),
        };
        if audience != Some(issuer.audience.as_str()) {
            return Err(format!("its `aud` is not `{}` alone", issuer.audience));
        }
        let later = now.saturating_add(SKEW).unwrap_or(now);
        let expires = time("exp")?;
        if expires <= now {
            return Err(format!("it expired at {expires}"));
        }
        let made = time("iat")?;
        if made > later {
            return Err(format!("it was made at {made}, and it is only {now}"));
        }
        if issuer.kind != IssuerKind::Oidc || claims.contains_key("nbf") {
            let from = time("nbf")?;
            if from > later {
                return Err(format!("it is valid from {from} on, and it is only {now}"));
            }
        }
        let jti = text("jti")?.to_owned();
        if jti.is_empty() || jti.len() > 256 {
            return Err("its `jti` is empty or longer than 256 bytes".to_owned());
        }
        if issuer.kind == IssuerKind::Github {
            let event = text("event_name")?;
            if is_pull_request(issuer.kind, "event_name", event) {
                return Err(
                    "a pull request started its job: what a pull request brings is nobody's yet".to_owned()
                );
            }
        }
        Ok(Self { jti, expires, claims })
    }

    /// The claims that say from where a job is, in words; empty if the platform is not known.
    #[must_use]
    pub fn words(&self, kind: IssuerKind) -> String {
        let Some((needed, others)) = known_claims(kind) else { return String::new() };
        let word = |name: &&str| {
            let value = match self.claims.get(*name)? {
                Value::String(text) => text.clone(),
                other => format!("{other}, which is no text"),
            };
            let value: String = value.escape_debug().take(120).collect();
            Some(format!("{name} {value}"))
        };
        let words: Vec<String> = needed.iter().chain(others).filter_map(word).collect();
        format!(" ({})", words.join(", "))
    }
}
