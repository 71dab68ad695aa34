//! Issuers of tokens (`OpenID` Connect), and what a token must say to prove a principal's identity. Both are part of the signed
//! rules: an issuer that is not named there proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use jiff::SignedDuration;
use remit_text::Address;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a principal proved that it is the one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// With a key of its own, which `principals.toml` names.
    #[default]
    Key,
    /// With a passkey of its own, which `principals.toml` names: its device checks each time who uses it.
    Passkey,
    /// With a key that it made up, for which it exchanged an ID token of its platform.
    IdToken,
    /// With a bearer token: whoever holds the token can do the same.
    Token,
}

impl Proof {
    /// The names of all, as policies and the journal have them.
    pub const NAMES: [&'static str; 4] = ["key", "passkey", "id-token", "token"];

    /// The name, as policies and the journal have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Passkey => "passkey",
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
    /// Any other issuer of `OpenID` Connect.
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
        if safe(&self.url).is_none() {
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
pub struct TokenIdentity {
    /// The name of the issuer.
    pub issuer: String,
    /// The claims by name. All of them must be there, and be the same.
    #[serde(flatten)]
    pub claims: BTreeMap<String, Claim>,
}

/// The claims that say from where a job is: they must be named. Then those that may be named.
pub(crate) fn known_claims(kind: IssuerKind) -> Option<(&'static [&'static str], &'static [&'static str])> {
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

impl TokenIdentity {
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
pub(crate) fn is_pull_request(kind: IssuerKind, name: &str, value: &str) -> bool {
    kind == IssuerKind::Github && name == "event_name" && value.starts_with("pull_request")
}
