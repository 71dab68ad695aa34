//! The rules of a home: who the principals are, and the policies about what they may do. Administrators sign them;
//! what is not signed is not in force.

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use remit_journal::Reader;
use remit_policy::{Need, Policies, Subject};
use remit_tlog::NoteVerifier;
use remit_trust::dsse::{Envelope, pae};
use remit_trust::principals::{BreakGlass, Principal, Principals};
use remit_trust::{Digest, KeyId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::documents::{Document, Signed, signers_named};
use super::holder::OnRecord;
use crate::{Config, Error, Home};

pub(super) const RULES_TYPE: &str = "application/vnd.remit.rules.v1+json";

/// Principals and policies, as an administrator signed them.
#[derive(Debug)]
pub struct Rules {
    /// The principals of `principals.toml`.
    pub principals: Principals,
    /// The policies that decide what principals may do.
    pub policies: Arc<Policies>,
    /// The digest of the principals and the policies together. Every request names it.
    pub digest: Digest,
    /// The name of the journal that the rules are for.
    pub log: String,
    /// What policies know of this home: `production`.
    pub environment: Option<String>,
    /// The administrator's key that signed them.
    pub signed_by: KeyId,
    /// The key of this host's journal, which signs certificates.
    pub(super) log_key: NoteVerifier,
    pub(super) verified: Verified,
}

/// What was found out about signed documents under the rules that hold this. A document is looked at several times before a run
/// starts, and to verify and parse it is most of what that costs.
#[derive(Debug, Default)]
pub(super) struct Verified {
    documents: Mutex<Documents>,
    certificates: Mutex<HashMap<KeyId, Arc<OnRecord>>>,
}

/// Each a [`Signed`] of the kind that it was verified as, by the digest of its envelope and that kind.
#[derive(Debug, Default)]
struct Documents {
    by_digest: HashMap<Digest, Arc<dyn Any + Send + Sync>>,
    /// The length of all their envelopes, in bytes.
    length: usize,
}

impl Verified {
    /// How many certificates are remembered. If there are too many, all of them are found once more.
    const CERTIFICATES: usize = 4_096;
    /// The same of documents, by the length of their envelopes in bytes: parsed, they take a few times as much.
    const DOCUMENTS: usize = 8 << 20;

    fn document<D: Document>(&self, digest: Digest) -> Option<Arc<Signed<D>>> {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(documents.by_digest.get(&digest)?).downcast().ok()
    }

    fn keep_document<D: Document>(&self, digest: Digest, length: usize, signed: &Arc<Signed<D>>) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        // Two threads may have found out the same.
        if !documents.by_digest.contains_key(&digest) {
            if documents.length.saturating_add(length) > Self::DOCUMENTS {
                *documents = Documents::default();
            }
            documents.length += length;
        }
        documents.by_digest.insert(digest, Arc::<Signed<D>>::clone(signed));
    }

    pub(super) fn certificate(&self, key: &KeyId) -> Option<Arc<OnRecord>> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn keep_certificate(&self, key: &KeyId, held: &Arc<OnRecord>) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if certificates.len() >= Self::CERTIFICATES {
            certificates.clear();
        }
        certificates.insert(key.clone(), Arc::clone(held));
    }
}

/// What an administrator signs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RulesManifest {
    log: String,
    principals: Digest,
    policies: Digest,
}

impl RulesManifest {
    pub(super) fn digest(&self) -> Result<Digest, Error> {
        Ok(Digest::of(&remit_trust::canonical(self)?))
    }
}

/// A principal as policies see it.
pub(crate) fn subject(principals: &Principals, principal: &Principal) -> Subject {
    let operator = principal.operator.as_ref().and_then(|name| principals.get(name));
    Subject {
        name: principal.name.clone(),
        kind: principal.kind.to_string(),
        groups: principal.groups.iter().cloned().collect(),
        operator: operator.map(|person| Box::new(subject(principals, person))),
        ..Subject::default()
    }
}

/// The key files that `principals.toml` names.
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyFiles {
    principal: Vec<KeysOfOne>,
    issuer: Vec<CaFile>,
}

/// The certificates of one issuer, see [`KeyFiles`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct CaFile {
    ca: Option<PathBuf>,
}

/// The `key` entries of one principal, see [`KeyFiles`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeysOfOne {
    key: Vec<KeyFile>,
}

/// One key entry, see [`KeyFiles`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyFile {
    file: Option<PathBuf>,
}

/// Checks the policies against the principals. A name that no principal has is an error, because its rule would never
/// apply. An approval that could not be given even if all principals agreed is no error, because the principals may be
/// added later: it is returned in words.
pub(super) fn together(principals: &Principals, policies: &Policies) -> Result<Vec<String>, Error> {
    let now = Timestamp::now();
    let subject = |principal| subject(principals, principal);
    let all: Vec<Subject> = principals.iter().map(subject).collect();
    policies.check_people(&all)?;
    let counts = |one: &&Principal| {
        !one.identities.is_empty() || one.keys.iter().any(|key| principals.in_force(&key.key.id(), now))
    };
    let in_force: Vec<Subject> = principals.iter().filter(counts).map(subject).collect();
    let mut unmet = policies.unmet(&in_force);
    if let Some(need) = break_glass(principals) {
        if let Some(group) =
            need.group.as_ref().filter(|group| !all.iter().any(|who| who.groups.contains(group)))
        {
            return Err(Error::Rules {
                why: format!("[break-glass] in principals.toml names the group {group}, and nobody is in it"),
                help: "correct the name, or add principals to the group",
            });
        }
        if need.missing(&in_force) > 0 {
            unmet.push(format!(
                "[break-glass] asks for {need}, and there are fewer: no break-glass request can be approved"
            ));
        }
    }
    Ok(unmet)
}

/// The approvals that a break-glass request needs instead of those of the policies.
pub(super) fn break_glass(principals: &Principals) -> Option<Need> {
    let BreakGlass { quorum, group } = principals.break_glass()?;
    Some(Need {
        policy: "[break-glass]".to_owned(),
        count: *quorum,
        kind: Some("human".to_owned()),
        group: Some(group.clone()),
    })
}

impl Rules {
    /// The name of the person who operates this principal.
    pub(crate) fn operator(&self, name: &str) -> Option<&str> {
        self.principals.get(name)?.operator.as_deref()
    }

    /// Returns an error if the policies name a principal that does not exist, and lists the approvals that could never
    /// be given.
    pub fn together(&self) -> Result<Vec<String>, Error> {
        together(&self.principals, &self.policies)
    }
}

impl Home {
    /// The path of `principals.toml`.
    #[must_use]
    pub fn principals(&self) -> PathBuf {
        self.path().join("principals.toml")
    }

    /// The path of the folder that holds the policies.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.path().join("policies")
    }

    /// The path of the signed rules manifest.
    #[must_use]
    pub fn rules_file(&self) -> PathBuf {
        self.path().join("rules.signed.json")
    }

    /// The policies as they are written, signed or not.
    pub fn written_policies(&self) -> Result<Arc<Policies>, Error> {
        let served = self.kinds_of_connectors();
        let kinds = super::kinds().into_iter().chain(served.iter().map(String::as_str));
        Ok(Policies::load(&self.policies(), kinds)?)
    }

    /// Reads the principals and policies, signed or not, and checks that they go together. Also returns the approvals
    /// that could never be given, in words.
    pub fn check_policies(&self) -> Result<(Arc<Policies>, Vec<String>), Error> {
        let principals = Principals::load(&self.principals())?;
        let policies = self.written_policies()?;
        let unmet = together(&principals, &policies)?;
        Ok((policies, unmet))
    }

    /// Files in the policies' folder whose names do not end as policies do, and that someone could take for policies.
    pub fn unread_policies(&self) -> Result<Vec<String>, Error> {
        Ok(Policies::unread(&self.policies())?)
    }

    /// The principals and policies in their files, and the manifest that a signature would cover.
    pub(super) fn written(
        &self,
        config: &Config,
    ) -> Result<(Principals, Arc<Policies>, RulesManifest), Error> {
        let principals = Principals::load(&self.principals())?;
        let policies = self.written_policies()?;
        let manifest = RulesManifest {
            log: config.log.clone(),
            principals: principals.digest(),
            policies: policies.digest(),
        };
        Ok((principals, policies, manifest))
    }

    /// Every file that the rules are read from. When one of them changes, the rules are read again.
    pub(crate) fn files_of_rules(&self) -> Result<Vec<PathBuf>, Error> {
        let config = self.load()?;
        let path = self.path();
        let mut files = vec![self.config(), self.principals(), self.rules_file(), self.policies()];
        files.extend(config.trust.admins.iter().map(|file| path.join(file)));
        // The metadata of the folder does not change when a file in it does.
        files.extend(
            remit_file::list(&self.policies(), remit_file::Kind::Policy)?.into_iter().map(|entry| entry.path),
        );
        let principals = remit_file::trusted(&self.principals(), remit_file::Kind::Principals)?;
        // If the file is malformed, the code that parses it later reports why.
        let written: KeyFiles = toml::from_str(principals.text()?).unwrap_or_default();
        let keys = written.principal.into_iter().flat_map(|principal| principal.key);
        files.extend(keys.filter_map(|key| Some(path.join(key.file?))));
        files.extend(written.issuer.into_iter().filter_map(|issuer| Some(path.join(issuer.ca?))));
        Ok(files)
    }

    /// Reads the rules in force and checks the administrator's signature.
    pub fn rules(&self) -> Result<Rules, Error> {
        let config = self.load()?;
        let admins = Config::keys(self.path(), &config.trust.admins)?;
        let refuse = |why: &str, help: &'static str| Err(Error::Rules { why: why.to_owned(), help });
        if admins.is_empty() {
            return refuse(
                "this home names no administrator, who would sign them",
                "list an administrator's public key under [trust] admins in remit.toml, write principals.toml, then `remit rules sign`",
            );
        }
        let path = self.rules_file();
        let text = match remit_file::trusted(&path, remit_file::Kind::Rules) {
            Ok(read) => read.into_text()?,
            Err(error) if error.is_missing() => {
                return refuse(
                    "no administrator has signed them",
                    "check principals.toml and policies/, then let an administrator sign: `remit rules sign --key admin.key`",
                );
            }
            Err(error) => return Err(error.into()),
        };
        let (principals, policies, written) = self.written(&config)?;
        let envelope: Envelope = remit_text::json::read(&text).map_err(|mistake| Error::Rules {
            why: format!("{} cannot be read: {mistake}", path.display()),
            help: "let an administrator sign again: `remit rules sign --key admin.key`",
        })?;
        let verified = envelope.verify(RULES_TYPE, &admins).map_err(|error| Error::Rules {
            why: format!("the signature is not valid: {error}"),
            help: "only a key listed under [trust] admins can sign them: `remit rules sign --key admin.key`",
        })?;
        let signed: RulesManifest = serde_json::from_slice(&verified.payload)?;
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
            log_key: self.verifier()?,
            verified: Verified::default(),
        })
    }

    /// The rules as they are written, signed or not, with the digest that a signature would cover.
    pub fn written_rules(&self) -> Result<(Principals, Arc<Policies>, Digest), Error> {
        let (principals, policies, manifest) = self.written(&self.load()?)?;
        let digest = manifest.digest()?;
        Ok((principals, policies, digest))
    }

    /// The digest of the rules that an administrator signed last, as the rules file states it; none if there is no
    /// readable one.
    pub(super) fn signed_digest(&self) -> Result<Option<Digest>, Error> {
        let Ok(read) = remit_file::trusted(&self.rules_file(), remit_file::Kind::Rules) else {
            return Ok(None);
        };
        let Ok(envelope) = serde_json::from_slice::<Envelope>(read.bytes()) else { return Ok(None) };
        let payload = envelope.claimed().ok();
        let signed = payload.and_then(|(bytes, _)| serde_json::from_slice::<RulesManifest>(&bytes).ok());
        signed.map(|signed| signed.digest()).transpose()
    }
}

impl Rules {
    /// Verifies an envelope with the keys of all principals and those that it names and this host certified, in force or not,
    /// because it may be of the past; and parses what was signed.
    pub(crate) fn open<D: Document>(
        &self,
        reader: &Reader,
        envelope: &RawValue,
    ) -> Result<Arc<Signed<D>>, Error> {
        let digest = Digest::of(&pae(D::TYPE, envelope.get().as_bytes()));
        if let Some(signed) = self.verified.document(digest) {
            return Ok(signed);
        }
        let mut keys = self.principals.keys();
        for named in signers_named(envelope)?.iter().filter(|key| self.principals.holder(key).is_none()) {
            keys.extend(self.certificate(reader, named)?.map(|held| held.key.clone()));
        }
        let signed = Arc::new(Signed::open(envelope, &keys)?);
        self.verified.keep_document(digest, envelope.get().len(), &signed);
        Ok(signed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;
    use crate::authority::{Approval, Request};
    use crate::testing::{POLICY, Place};

    /// A document is remembered by every byte, and as the kind that it was verified as.
    #[test]
    fn what_was_verified_is_remembered_and_nothing_else() {
        let place = Place::new(POLICY);
        let rules = place.rules();
        let id = place.file("bot", &place.request());
        let acts = place.reader().acts(remit_journal::About::Request(id)).unwrap();
        let document = &acts[0].1.event.statement().unwrap().document;
        let kept = || rules.verified.documents.lock().unwrap().by_digest.len();
        assert_eq!(kept(), 0);
        for _ in 0..2 {
            assert_eq!(rules.open::<Request>(&place.reader(), document).unwrap().keys, [place.key("bot")]);
            assert!(rules.open::<Approval>(&place.reader(), document).is_err());
            assert_eq!(kept(), 1);
        }
        // What is remembered is not verified again: its signers are those that were found then.
        let name = Digest::of(&pae(Request::TYPE, document.get().as_bytes()));
        let found = rules.open::<Request>(&place.reader(), document).unwrap();
        let other =
            Signed { keys: vec![place.key("alice")], document: Arc::clone(&found.document), ..*found };
        rules.verified.keep_document(name, 0, &Arc::new(other));
        assert_eq!(rules.open::<Request>(&place.reader(), document).unwrap().keys, [place.key("alice")]);
        rules.verified.keep_document(name, 0, &found);
        for (of, to) in [("\"sig\":\"M", "\"sig\":\"N"), ("\"payload\":\"e", "\"payload\":\"f")] {
            let other = document.get().replace(of, to);
            assert_ne!(other, document.get());
            assert!(rules.open::<Request>(&place.reader(), &RawValue::from_string(other).unwrap()).is_err());
        }
        let left = Verified::DOCUMENTS - document.get().len();
        rules.verified.keep_document(Digest::of(b"one"), left, &found);
        rules.verified.keep_document(Digest::of(b"one"), left, &found);
        assert_eq!(kept(), 2);
        rules.verified.keep_document(Digest::of(b"one more"), 1, &found);
        assert_eq!(kept(), 1, "all are found once more");
        assert_eq!(rules.open::<Request>(&place.reader(), document).unwrap().keys, [place.key("bot")]);
    }

    #[test]
    fn rules_are_in_force_as_they_were_signed_for_this_journal() {
        let place = Place::new(POLICY);
        let home = place.home();
        let rules = home.rules().unwrap();
        assert_eq!(rules.signed_by, place.key("admin"));
        let (principals, policies, digest) = home.written_rules().unwrap();
        assert_eq!(
            (principals.digest(), policies.digest()),
            (rules.principals.digest(), rules.policies.digest())
        );
        assert_eq!((digest, home.signed_digest().unwrap()), (rules.digest, Some(rules.digest)));
        assert_eq!(rules.principals.keys().len(), 4);
        let told = || home.rules().unwrap_err().to_string();

        let signed = fs::read(home.rules_file()).unwrap();
        let config = fs::read_to_string(home.config()).unwrap();
        fs::write(home.config(), config.replace("test.example", "other.example")).unwrap();
        assert!(told().contains("they were signed for another journal"));
        fs::write(home.config(), &config).unwrap();

        let policy = home.policies().join("default.cedar");
        fs::write(&policy, format!("{POLICY}// more\n")).unwrap();
        assert!(told().contains("policies/ is not what the administrator signed"));
        fs::write(&policy, POLICY).unwrap();
        let written = fs::read_to_string(home.principals()).unwrap();
        fs::write(home.principals(), written.replace("on-call", "off-call")).unwrap();
        assert!(told().contains("principals.toml, or a key it names, is not what the administrator signed"));
        fs::write(home.principals(), &written).unwrap();

        // Signed by nobody who may; not there; there, and not a file.
        let manifest = home.written(&home.load().unwrap()).unwrap().2;
        let payload = remit_trust::canonical(&manifest).unwrap();
        let envelope = Envelope::sign(RULES_TYPE, &payload, place.signer("alice")).unwrap();
        fs::write(home.rules_file(), serde_json::to_vec(&envelope).unwrap()).unwrap();
        assert!(told().contains("the signature is not valid"));
        fs::remove_file(home.rules_file()).unwrap();
        assert!(told().contains("no administrator has signed them"));
        assert_eq!(home.signed_digest().unwrap(), None);
        fs::create_dir(home.rules_file()).unwrap();
        assert!(!told().contains("no administrator has signed them"), "{}", told());
        fs::remove_dir(home.rules_file()).unwrap();
        fs::write(home.rules_file(), signed).unwrap();
        assert_eq!(home.rules().unwrap().digest, rules.digest);
        fs::write(home.config(), config.replace("admins     = [", "admins     = [] # [")).unwrap();
        assert!(told().contains("this home names no administrator"), "{}", told());
    }

    #[test]
    fn every_file_of_the_rules_is_watched() {
        let place = Place::new(POLICY);
        let home = place.home();
        let files = home.files_of_rules().unwrap();
        let names: Vec<_> =
            files.iter().map(|file| file.strip_prefix(home.path()).unwrap().to_owned()).collect();
        for name in
            ["remit.toml", "principals.toml", "rules.signed.json", "policies", "policies/default.cedar"]
        {
            assert!(names.contains(&PathBuf::from(name)), "{name}: {names:?}");
        }
        let keys = |folder: &str| names.iter().filter(|name| name.starts_with(folder)).count();
        assert_eq!((keys("keys/admins"), keys("keys/principals")), (1, 4));
        assert_eq!(home.unread_policies().unwrap(), [""; 0]);
        fs::write(home.policies().join("default.cedar.off"), "").unwrap();
        assert_eq!(home.unread_policies().unwrap(), ["default.cedar.off"]);
    }

    #[test]
    fn approvals_that_could_not_be_given_are_told() {
        let place = Place::new(POLICY);
        let check = |quorum: u32, group: &str| {
            let text = fs::read_to_string(place.home().principals()).unwrap();
            let glass = format!("\n[break-glass]\nquorum = {quorum}\ngroup = \"{group}\"\n");
            fs::write(place.home().principals(), format!("{text}{glass}")).unwrap();
            let told =
                place.home().check_policies().map(|(_, unmet)| unmet).map_err(|error| error.to_string());
            fs::write(place.home().principals(), text).unwrap();
            told
        };
        assert_eq!(place.rules().together().unwrap(), [""; 0]);
        assert_eq!(check(1, "on-call"), Ok(Vec::new()));
        let told = check(2, "on-call").unwrap();
        assert!(
            told.len() == 1 && told[0].starts_with("[break-glass] asks for 2 humans of on-call"),
            "{told:?}"
        );
        assert!(check(1, "nobody").unwrap_err().contains("names the group nobody, and nobody is in it"));
        // Nobody whose key is out of force could give one.
        place.end_key("carol");
        assert_eq!(check(1, "on-call").unwrap().len(), 1);
        place.end_key("alice");
        place.end_key("bob");
        let told = place.home().rules().unwrap().together().unwrap();
        assert!(told.len() == 1 && told[0].contains("policy `one-human` asks for 1 human"), "{told:?}");
    }
}
