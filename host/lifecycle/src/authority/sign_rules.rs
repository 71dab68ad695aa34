//! Signing the rules. Every request names the rules that it was made under, so new rules void all open requests.

use jiff::Timestamp;
use remit_journal::{About, Basis, LedgerEvent, Reader, RequestId, RestsOn};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, Sign as _, Signer};
use serde::Serialize;

use super::documents::claimed;
use super::rules::{RULES_TYPE, together};
use super::{Request, RequestedAuthority};
use crate::{Config, Error, Home};

/// An open request that new rules would void.
#[derive(Clone, Debug, Serialize)]
pub struct Ending {
    /// The request's identifier.
    pub request: RequestId,
    /// Whether it is a standing scope.
    pub standing: bool,
    /// The action that the request is for, and its version: `rotate-secret 0.1.0`.
    pub action: String,
    /// The name of the requester.
    pub by: String,
    /// The reason that the request states.
    pub reason: String,
    /// When the request would have expired.
    pub until: Timestamp,
}

impl Home {
    /// Signs the rules as they are written, as an administrator. If that voids open requests, `agree` is given them and
    /// decides. Returns the digest of the rules; none if `agree` said no.
    pub fn sign_rules(
        &self,
        admin: &Signer,
        agree: impl FnOnce(&[Ending]) -> bool,
    ) -> Result<Option<Digest>, Error> {
        self.sign_rules_of(&self.load()?, admin, agree)
    }

    /// Like [`Home::sign_rules`], for a home whose configuration may not be written yet.
    pub(crate) fn sign_rules_of(
        &self,
        config: &Config,
        admin: &Signer,
        agree: impl FnOnce(&[Ending]) -> bool,
    ) -> Result<Option<Digest>, Error> {
        let admins = Config::keys(self.path(), &config.trust.admins)?;
        let key = admin.verifying_key().id();
        if !admins.iter().any(|admin| admin.id() == key) {
            return Err(Error::Rules {
                why: format!("the key {} is no administrator's", key.short()),
                help: "sign with a key listed under [trust] admins in remit.toml",
            });
        }
        let (principals, policies, manifest) = self.written(config)?;
        together(&principals, &policies)?;
        // A publisher of actions must not decide what the actions may do here.
        for publisher in Config::publishers(self.path(), &config.trust.publishers)? {
            let id = publisher.id();
            let whose = match principals.holder(&id) {
                Some(principal) => format!("the principal {}", principal.name),
                None if admins.iter().any(|admin| admin.id() == id) => "an administrator".to_owned(),
                None => continue,
            };
            return Err(Error::Rules {
                why: format!("{whose} has the key {}, which is also a publisher's", id.short()),
                help: "one key is one identity: give one of them a key of its own, or remove it from [trust] publishers",
            });
        }
        if let Some(principal) = principals.holder(&key) {
            tracing::info!(%principal.name, "the administrator is also a principal");
        }
        let ending = self.voided_by(manifest.digest()?)?;
        if !ending.is_empty() && !agree(&ending) {
            return Ok(None);
        }
        let envelope = Envelope::sign(RULES_TYPE, &remit_trust::canonical(&manifest)?, admin)?;
        let path = self.rules_file();
        remit_file::replace(&path, serde_json::to_string_pretty(&envelope)?.as_bytes())
            .map_err(|error| Error::kept(&path, &error))?;
        manifest.digest().map(Some)
    }

    /// The open requests and standing scopes that become void when the rules with this digest are signed. Signatures are
    /// not checked, so this is for a warning only.
    fn voided_by(&self, new: Digest) -> Result<Vec<Ending>, Error> {
        match self.signed_digest()? {
            Some(old) if old != new && self.journal().exists() => open_under(&self.reader()?, old),
            _ => Ok(Vec::new()),
        }
    }
}

/// Every request made under the rules with this digest that gives authority, or may still get it.
fn open_under(reader: &Reader, rules: Digest) -> Result<Vec<Ending>, Error> {
    let mut open = Vec::new();
    for id in reader.requests()? {
        let acts = reader.acts(About::Request(id))?;
        let Some((seq, first)) = acts.first() else { continue };
        let LedgerEvent::Requested(statement) = &first.event else { continue };
        let Some((request, digest)) = claimed::<Request>(&statement.document) else { continue };
        let closed = acts.iter().any(|(_, act)| {
            matches!(
                act.event,
                LedgerEvent::RequestDenied(_) | LedgerEvent::Voided { .. } | LedgerEvent::Expired
            )
        });
        let over = request.not_after <= Timestamp::now();
        if request.rules != rules || closed || over {
            continue;
        }
        let bases = [
            Basis::All,
            Basis::Request(id),
            Basis::Principal(statement.principal.clone()),
            Basis::Key(statement.key.clone()),
        ];
        let rests_on = bases.map(|basis| RestsOn { basis, since: *seq });
        if reader.struck(&rests_on)?.is_some() {
            continue;
        }
        if let Some(uses) = request.uses
            && reader.grant_uses(&digest)? >= uses
        {
            continue;
        }
        open.push(Ending {
            request: request.id,
            standing: matches!(request.asks, RequestedAuthority::Standing(_)),
            action: request.action_words(),
            by: request.requester.clone(),
            reason: request.reason.clone(),
            until: request.not_after,
        });
    }
    Ok(open)
}
