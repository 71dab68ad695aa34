//! The rules of a home: who the principals are, and the policies about what they may do. Administrators sign them;
//! what is not signed is not in force.

use std::path::PathBuf;

use jiff::Timestamp;
use remit_policy::{Policies, Who};
use remit_trust::dsse::Envelope;
use remit_trust::principals::{Principal, Principals};
use remit_trust::{Digest, KeyId, Sign as _, Signer, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::{Config, Error, Home};

const RULES_TYPE: &str = "application/vnd.remit.rules.v1+json";

/// Principals and policies, as an administrator signed them.
#[derive(Debug)]
pub struct Rules {
    /// Who they are.
    pub principals: Principals,
    /// What they may do.
    pub policies: Policies,
    /// Of both together: what every request names.
    pub digest: Digest,
    /// The journal they are for.
    pub log: String,
    /// What policies know of this home: `production`.
    pub environment: Option<String>,
    /// The administrator's key that signed them.
    pub signed_by: KeyId,
}

/// What an administrator signs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Constitution {
    log: String,
    principals: Digest,
    policies: Digest,
}

impl Constitution {
    fn digest(&self) -> Result<Digest, Error> {
        Ok(Digest::of(&remit_trust::canonical(self)?))
    }
}

/// A principal that proved to be who it says, by its key.
#[derive(Debug)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// By which key.
    pub key: KeyId,
    pub(crate) signer: Signer,
}

impl Identity {
    /// As policies see it.
    #[must_use]
    pub fn who(&self) -> Who {
        who(&self.principal)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.principal.name
    }
}

/// A principal as policies see it.
pub(crate) fn who(principal: &Principal) -> Who {
    Who {
        name: principal.name.clone(),
        kind: principal.kind.to_string(),
        groups: principal.groups.iter().cloned().collect(),
    }
}

impl Home {
    /// `principals.toml`.
    #[must_use]
    pub fn principals(&self) -> PathBuf {
        self.path().join("principals.toml")
    }

    /// The folder with the policies.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.path().join("policies")
    }

    /// What the administrator signed.
    #[must_use]
    pub fn rules_file(&self) -> PathBuf {
        self.path().join("rules.signed.json")
    }

    /// The policies as they are written, signed or not.
    pub fn written_policies(&self) -> Result<Policies, Error> {
        Ok(Policies::load(&self.policies(), super::kinds())?)
    }

    /// Files among the policies that are none by their name, and that somebody could take for some.
    pub fn unread_policies(&self) -> Result<Vec<String>, Error> {
        Ok(Policies::unread(&self.policies())?)
    }

    fn written(&self, config: &Config) -> Result<(Principals, Policies, Constitution), Error> {
        let principals = Principals::load(&self.principals())?;
        let policies = self.written_policies()?;
        let constitution = Constitution {
            log: config.log.clone(),
            principals: principals.digest(),
            policies: policies.digest(),
        };
        Ok((principals, policies, constitution))
    }

    /// The rules in force.
    pub fn rules(&self) -> Result<Rules, Error> {
        let config = self.load()?;
        let admins = Config::keys(self.path(), &config.trust.admins)?;
        let refuse = |why: &str, help: &'static str| Err(Error::Rules { why: why.to_owned(), help });
        if admins.is_empty() {
            return refuse(
                "this home names no administrator, so nobody can say who its principals are",
                "list an administrator's public key under [trust] admins in remit.toml, write principals.toml, then `remit rules sign`",
            );
        }
        let path = self.rules_file();
        let text = match remit_file::trusted(&path, remit_file::Kind::Rules) {
            Ok(read) => read.into_text()?,
            Err(error) if error.is_missing() => {
                return refuse(
                    "no administrator has signed them",
                    "look at principals.toml and policies/, then let an administrator sign: `remit rules sign --key admin.key`",
                );
            }
            Err(error) => return Err(error.into()),
        };
        let (principals, policies, written) = self.written(&config)?;
        let envelope: Envelope = serde_json::from_str(&text).map_err(|error| Error::Rules {
            why: format!("{} cannot be read: {error}", path.display()),
            help: "let an administrator sign again: `remit rules sign --key admin.key`",
        })?;
        let verified = envelope.verify(RULES_TYPE, &admins).map_err(|error| Error::Rules {
            why: format!("the signature does not hold: {error}"),
            help: "only a key listed under [trust] admins can sign them: `remit rules sign --key admin.key`",
        })?;
        let signed: Constitution = serde_json::from_slice(&verified.payload)?;
        if signed.log != written.log {
            return refuse(
                "they were signed for another journal",
                "let an administrator of this home sign: `remit rules sign --key admin.key`",
            );
        }
        for (is, was, what) in [
            (written.principals, signed.principals, "principals.toml, or a key it names, is not"),
            (written.policies, signed.policies, "policies/ is not"),
        ] {
            if is != was {
                return refuse(
                    &format!("{what} what the administrator signed: it was changed since"),
                    "compare with its history; if the change is wanted, an administrator signs it: `remit rules sign --key admin.key`",
                );
            }
        }
        let digest = written.digest()?;
        let signed_by = verified.signers.into_iter().next().unwrap_or_else(|| admins[0].id());
        Ok(Rules {
            principals,
            policies,
            digest,
            log: config.log,
            environment: config.environment,
            signed_by,
        })
    }

    /// Checks the rules as they are written, signed or not; with the digest that a signature would be of.
    pub fn check_rules(&self) -> Result<(Principals, Policies, Digest), Error> {
        let (principals, policies, constitution) = self.written(&self.load()?)?;
        let digest = constitution.digest()?;
        Ok((principals, policies, digest))
    }

    /// Signs the rules as they are written, as an administrator.
    pub fn sign_rules(&self, admin: &Signer) -> Result<Digest, Error> {
        self.sign_rules_of(&self.load()?, admin)
    }

    /// The same of a home with this configuration, which it may not have yet.
    pub(crate) fn sign_rules_of(&self, config: &Config, admin: &Signer) -> Result<Digest, Error> {
        let admins = Config::keys(self.path(), &config.trust.admins)?;
        let key = admin.verifying_key().id();
        if !admins.iter().any(|admin| admin.id() == key) {
            return Err(Error::Rules {
                why: format!("the key {} is no administrator's", key.short()),
                help: "sign with a key listed under [trust] admins in remit.toml",
            });
        }
        let (principals, _, constitution) = self.written(config)?;
        // Whoever publishes actions says nothing about what they may do here.
        for publisher in Config::publishers(self.path(), &config.trust.publishers)? {
            let id = publisher.id();
            let whose = match principals.holder(&id) {
                Some(principal) => format!("the principal {}", principal.name),
                None if admins.iter().any(|admin| admin.id() == id) => "an administrator".to_owned(),
                None => continue,
            };
            return Err(Error::Rules {
                why: format!("{whose} has the key {}, which is a publisher's too", id.short()),
                help: "one key is one identity: give one of them a key of its own, or take it out of [trust] publishers",
            });
        }
        if let Some(principal) = principals.holder(&key) {
            tracing::info!(%principal.name, "the administrator is a principal too");
        }
        let envelope = Envelope::sign(RULES_TYPE, &remit_trust::canonical(&constitution)?, admin)?;
        let path = self.rules_file();
        remit_file::replace(&path, serde_json::to_string_pretty(&envelope)?.as_bytes())
            .map_err(|error| Error::kept(&path, &error))?;
        constitution.digest()
    }
}

impl Rules {
    /// Who holds a key, if it counts now.
    pub fn identify(&self, signer: Signer) -> Result<Identity, Error> {
        let key = signer.verifying_key().id();
        let refuse = |why: String, help| Err(Error::Identity { why, help });
        let Some(principal) = self.principals.holder(&key) else {
            return refuse(
                format!("the key {} belongs to no principal", key.short()),
                "`remit principals` lists them; an administrator adds one to principals.toml",
            );
        };
        if !self.principals.in_force(&key, Timestamp::now()) {
            return refuse(
                format!("the key {} of {} does not count now", key.short(), principal.name),
                "use a key that is in force (`from`, `until` in principals.toml)",
            );
        }
        Ok(Identity { principal: principal.clone(), key, signer })
    }

    /// Every key that ever counted: to verify the past.
    pub(crate) fn keys(&self) -> Vec<VerifyingKey> {
        self.principals.keys()
    }
}
