//! Tokens of an issuer (JWT, RFC 7519): ID tokens of `OpenID` Connect, and bearer tokens. Every claim that decides anything must
//! be there, in its type.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::issuers::{Accepts, Issuer, IssuerKind, is_pull_request, known_claims};
use crate::jws::{Jwk, Unverified};

/// By how much the clocks of an issuer and this host may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

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
        Ok(Self { claims, jti, expires })
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
