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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use jiff::SignedDuration;
    use remit_journal::{LedgerEvent, Revocation};

    use super::*;
    use crate::testing::{POLICY, Place};
    use crate::{Approval, Order, OrderKind};

    /// Signs rules that differ from those before; what was said to be void, and whether it was signed.
    fn sign(place: &Place, text: &str, agree: bool) -> (Vec<Ending>, bool) {
        let file = place.home().policies().join("default.cedar");
        fs::write(&file, format!("{POLICY}// {text}\n")).unwrap();
        let mut told = Vec::new();
        let signed = place.home().sign_rules(place.signer("admin"), |ending| {
            told = ending.to_vec();
            agree
        });
        (told, signed.unwrap().is_some())
    }

    #[test]
    fn open_requests_are_told_before_new_rules_void_them() {
        let place = Place::new(POLICY);
        // Nothing is open: nobody is asked.
        assert_eq!((sign(&place, "nothing", false).0.len(), place.home().rules().is_ok()), (0, true));
        let standing = place.file("bot", &place.standing());
        let waiting = place.file("bot", &place.request());
        let twice = place.file("bot", &Request { uses: Some(2), ..place.request() });
        place.run(twice, &[], |_, _| {});
        let of_other_rules = Request { rules: Digest::of(b"other"), ..place.request() };
        place.file("bot", &of_other_rules);
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        place.file("bot", &Request { not_after: past, ..place.request() });
        let used = place.file("bot", &place.request());
        place.run(used, &[], |_, _| {});
        for end in [0, 1, 2] {
            let id = place.file("bot", &place.request());
            let denial = Approval { approve: false, ..place.approval(id, "bob") };
            let event = match end {
                0 => LedgerEvent::RequestDenied(place.statement("bob", &denial)),
                1 => LedgerEvent::Voided { why: "so".to_owned() },
                _ => LedgerEvent::Expired,
            };
            place.put(About::Request(id), event);
        }
        let revoked = place.file("bot", &place.request());
        let order = Order {
            log: place.rules().log.clone(),
            principal: "alice".to_owned(),
            at: Timestamp::now(),
            reason: "so".to_owned(),
            order: OrderKind::Freeze,
        };
        let revocations = vec![Revocation { basis: Basis::Request(revoked), earlier_only: false }];
        let statement = place.statement("alice", &order);
        place.put(About::Request(revoked), LedgerEvent::Revoked { statement, revocations });

        let (told, signed) = sign(&place, "one", false);
        let ids: Vec<_> = told.iter().map(|ending| ending.request).collect();
        assert_eq!(ids, [standing, waiting, twice]);
        assert!(!signed && place.home().rules().is_err(), "nothing was signed");
        assert!(told[0].standing && !told[1].standing);
        let words = |ending: &Ending| format!("{} {} {}", ending.action, ending.by, ending.reason);
        assert_eq!(words(&told[1]), "rotate 0.1.0 bot leaked");
        // The same rules void nothing.
        fs::write(place.home().policies().join("default.cedar"), format!("{POLICY}// nothing\n")).unwrap();
        let same = place.home().sign_rules(place.signer("admin"), |_| panic!("nothing is void")).unwrap();
        assert_eq!(same, Some(place.rules().digest));
        let (told, signed) = sign(&place, "two", true);
        assert_eq!((told.len(), signed, place.home().rules().is_ok()), (3, true, true));
    }

    #[test]
    fn an_administrator_signs_and_no_key_is_also_a_publishers() {
        let place = Place::new(POLICY);
        let told = |by: &str| place.home().sign_rules(place.signer(by), |_| true).unwrap_err().to_string();
        assert!(told("alice").contains("is no administrator's"));
        let config = place.home().config();
        let text = fs::read_to_string(&config).unwrap();
        let key = |folder: &str, name: &str| {
            let mut files = fs::read_dir(place.home().path().join(folder)).unwrap().flatten();
            let file = files.find(|file| file.file_name().to_string_lossy().starts_with(name)).unwrap();
            format!("\"{folder}/{}\"", file.file_name().to_string_lossy())
        };
        let line = text.lines().find(|line| line.starts_with("publishers = ")).unwrap();
        for (key, whose) in [
            (key("keys/principals", "bob"), "the principal bob has the key "),
            (key("keys/admins", "admin"), "an administrator has the key "),
        ] {
            fs::write(&config, text.replace(line, &format!("publishers = [{key}]"))).unwrap();
            let told = told("admin");
            assert!(told.contains(whose) && told.contains("which is also a publisher's"), "{told}");
        }
        fs::write(&config, text).unwrap();
        assert!(place.home().sign_rules(place.signer("admin"), |_| true).unwrap().is_some());
    }
}
