//! Short-lived certificates: a token of a platform that the rules name is worth a key for a few minutes. What that key signs is
//! its principal's, as if `principals.toml` named it.

use jiff::{SignedDuration, Timestamp};
use remit_engine::blocking;
use remit_journal::{About, Act, Certificate, Certified, LedgerEvent, Reader};
use remit_trust::dsse::Envelope;
use remit_trust::id_token::{Token, Verified};
use remit_trust::issuers::{Accepts, Issuer, TokenIdentity};
use remit_trust::{Digest, VerifyingKey, canonical};
use serde::{Deserialize, Serialize};

use crate::authority::{JITTER, refused_named};
use crate::turn::Turn;
use crate::{Error, Host, Rules};

/// What a client signs with a key that it made up, so that the key is certified: that it has the key, and for which token it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certifying {
    /// The name of the journal that it is for.
    pub log: String,
    /// The URL of the server that it is for.
    pub audience: String,
    /// The id of the key.
    pub key: String,
    /// The digest of the token.
    pub token: Digest,
    /// When it was made.
    pub at: Timestamp,
}

impl Certifying {
    /// The payload type of its DSSE envelope.
    pub const TYPE: &'static str = "application/vnd.remit.certifying.v1+json";
    /// How long after its creation it is accepted.
    const GOOD_FOR: SignedDuration = SignedDuration::from_mins(5);
    const NAME: &'static str = "proof of the key";

    /// Checks that the key signed it for this token at this server.
    fn check(
        envelope: &Envelope,
        key: &VerifyingKey,
        token: &str,
        (log, audience): (&str, &str),
        now: Timestamp,
    ) -> Result<(), Error> {
        let refuse = |why: &str| Err(refused_named(Self::NAME, why));
        let signed = envelope.verify(Self::TYPE, std::slice::from_ref(key))?;
        let document: Self = serde_json::from_slice(&signed.payload)
            .map_err(|error| refused_named(Self::NAME, error.to_string()))?;
        if canonical(&document)? != signed.payload {
            return refuse("it is not canonical JSON (RFC 8785)");
        }
        if (&*document.log, &*document.audience) != (log, audience) {
            return refuse("it is for another journal or another server");
        }
        if document.key != key.id().to_string() || document.token != Digest::of(token.as_bytes()) {
            return refuse("it is for another key or another token");
        }
        let age = now.duration_since(document.at);
        if age > Self::GOOD_FOR || age < -JITTER {
            return refuse("it was made more than 5 minutes ago, or will be: set the clock right");
        }
        Ok(())
    }
}

/// Exchanges an ID token for a certificate of a key that the client made up. The token is worth one only.
pub async fn certify_exchanged(
    host: &Host,
    token: &str,
    key: &VerifyingKey,
    proof: &Envelope,
    audience: &str,
) -> Result<Certificate, Error> {
    let rules = host.rules()?;
    Certifying::check(proof, key, token, (&rules.log, audience), host.now()?)?;
    issue(host, token, key, Accepts::Exchange).await
}

/// Certifies a key that this process made and keeps to itself, for whoever sent a bearer token. What the key signs is recorded as
/// proven by no more than that token.
pub async fn certify(host: &Host, token: &str, key: &VerifyingKey) -> Result<Certificate, Error> {
    issue(host, token, key, Accepts::Bearer).await
}

async fn issue(host: &Host, token: &str, key: &VerifyingKey, accepts: Accepts) -> Result<Certificate, Error> {
    let help = "send a token of an [[issuer]] in principals.toml, made for its `audience`; each is good for a few minutes, and an ID token for one exchange";
    let refuse = |why: String| Error::Token { why, help };
    let rules = host.rules()?;
    let parsed = Token::parse(token).map_err(refuse)?;
    let mut issuers = rules.principals.issuers().iter();
    let Some(issuer) = issuers.find(|issuer| issuer.accepts == accepts && parsed.claims_issuer(issuer))
    else {
        return Err(refuse("it is by no issuer whose tokens are taken so here".to_owned()));
    };
    let keys = host.issuer_keys.keys(issuer, &parsed).await?;
    let now = host.now()?;
    let verified = parsed.verify(issuer, &keys, now).map_err(refuse)?;
    let (principal, identity) = match rules.principal_of(issuer, &verified.claims).map_err(refuse)? {
        Some((principal, identity)) => (principal.name.clone(), identity.clone()),
        None => {
            return Err(refuse(format!(
                "no principal has an identity by {} with its claims{}",
                issuer.name,
                verified.words(issuer.kind)
            )));
        }
    };
    let certificate = certificate(&rules, (issuer, &identity, &verified), principal, (token, key), now);
    let certified = Certified { signature: sign(host, &certificate)?, certificate };

    let _turn = Turn::take(host, "certify.lock", &host.certifications).await?;
    let once = About::token(&issuer.url, &verified.jti);
    let about = About::key(&key.id());
    blocking(|| {
        let reader = host.journal.reader()?;
        if accepts == Accepts::Exchange && is_on_record(&reader, once)? {
            return Err(refuse("it was exchanged before, and is worth one key only".to_owned()));
        }
        if rules.principals.holder(&key.id()).is_some() || is_on_record(&reader, about)? {
            return Err(refused_named(Certifying::NAME, "the key is somebody's already: make a new one"));
        }
        Ok(())
    })?;
    if accepts == Accepts::Exchange {
        // First, so that a crash between the two costs a token and never gives a second key.
        let exchanged =
            LedgerEvent::Exchanged { issuer: issuer.url.clone(), token: certified.certificate.token };
        host.journal.act(&Act::now(once, exchanged)).await?;
    }
    let certificate = certified.certificate.clone();
    host.journal.act(&Act::now(about, LedgerEvent::Certified(Box::new(certified)))).await?;
    // Whoever was revoked, or lost its identity meanwhile, gets nothing.
    host.identify(&key.id())?;
    Ok(certificate)
}

fn certificate(
    rules: &Rules,
    (issuer, identity, verified): (&Issuer, &TokenIdentity, &Verified),
    principal: String,
    (token, key): (&str, &VerifyingKey),
    from: Timestamp,
) -> Certificate {
    let longest = from.saturating_add(issuer.ttl).unwrap_or(from);
    let until = match issuer.accepts {
        Accepts::Exchange => longest,
        Accepts::Bearer => longest.min(verified.expires),
    };
    Certificate {
        log: rules.log.clone(),
        key: key.to_text(),
        principal,
        proof: issuer.accepts.proof(),
        issuer: issuer.url.clone(),
        claims: identity.claims.clone(),
        token: Digest::of(token.as_bytes()),
        from,
        until,
    }
}

/// The signature line of the host's key over a certificate.
fn sign(host: &Host, certificate: &Certificate) -> Result<String, Error> {
    blocking(|| {
        let signer = host.home.signer(&host.home.load()?)?;
        let text = certificate.to_sign()?;
        let note = signer.sign_text(&text);
        Ok(note.get(text.len() + 1..).unwrap_or_default().to_owned())
    })
}

fn is_on_record(reader: &Reader, about: About) -> Result<bool, Error> {
    Ok(!reader.acts(about)?.is_empty())
}
