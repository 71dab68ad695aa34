//! What a directory is asked.

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, Scope, ldap_escape};
use remit_gate::Failure;

use super::connect::code;
use super::entry::Entry;
use super::lock::{COMPUTED, Lock};
use super::{BY_ID, Directory};

/// As many accounts, or groups, are read.
const MOST: usize = 10_000;
/// How many of them in one answer: Active Directory gives no more than 1,000.
const PAGE: i32 = 500;
/// The assertion control of RFC 4528.
const ASSERTION: &str = "1.3.6.1.1.12";

impl Directory {
    /// Whether the server knows the assertion control. Active Directory does not: there a change names the entry by its identifier.
    pub(super) async fn asserts(&self, ldap: &mut Ldap) -> Result<bool, Failure> {
        let root = self.search(ldap, ("", Scope::Base), "(objectClass=*)", vec!["supportedControl"]).await?;
        Ok(root.iter().any(|root| root.texts("supportedControl").any(|control| control == ASSERTION)))
    }

    /// A lock counts only where the policy says so.
    pub(super) async fn policy_locks(&self, ldap: &mut Ldap, policy: &str) -> Result<(), Failure> {
        let found = self.search(ldap, (policy, Scope::Base), "(objectClass=*)", vec!["pwdLockout"]).await;
        let found = match found {
            Err(Failure::NotFound(_)) => Vec::new(),
            found => found?,
        };
        let locks =
            |entry: &Entry| entry.one("pwdLockout").is_some_and(|value| value.eq_ignore_ascii_case("TRUE"));
        if found.iter().any(locks) {
            return Ok(());
        }
        Err(Failure::Invalid(format!(
            "the password policy `{policy}` does not have `pwdLockout: TRUE`, or the host may not read it: a lock would keep nobody out"
        )))
    }

    /// Active Directory says of an entry what the host may write. That is asked before anybody approves what cannot be done.
    pub(super) async fn may_write(&self, ldap: &mut Ldap, entry: &Entry) -> Result<(), Failure> {
        const EFFECTIVE: &str = "allowedAttributesEffective";
        let (dn, attribute) = (entry.dn.as_str(), self.lock.attribute());
        let found = self.search(ldap, (dn, Scope::Base), "(objectClass=*)", vec![EFFECTIVE]).await?;
        let is_this = |name: &str| name.eq_ignore_ascii_case(attribute);
        if found.iter().any(|entry| entry.texts(EFFECTIVE).any(is_this)) {
            return Ok(());
        }
        Err(Failure::Denied(format!(
            "the host's account `{}` may not write `{attribute}` of {dn}: somebody has to give it that right",
            self.server.bind_dn()
        )))
    }

    /// The identifier of the account that the host signs in as, if that is an entry that it may see.
    pub(super) async fn own_id(&self, ldap: &mut Ldap) -> Result<Option<String>, Failure> {
        let own = (self.server.bind_dn(), Scope::Base);
        match self.search(ldap, own, "(objectClass=*)", vec![self.lock.id()]).await {
            Err(Failure::NotFound(_) | Failure::Invalid(_)) => Ok(None),
            found => Ok(found?.first().and_then(|entry| self.id_of(entry).ok())),
        }
    }

    /// The account at a path. One path is one account, and one account has one path.
    pub(super) async fn find(&self, ldap: &mut Ldap, path: &str) -> Result<Entry, Failure> {
        let clause = match path.strip_prefix(BY_ID) {
            Some(id) => self.is_id(id)?,
            None if path.contains('/') => {
                return Err(Failure::Invalid(format!("an account is named by one segment, not by `{path}`")));
            }
            None => format!("({}={})", self.attribute, ldap_escape(path)),
        };
        let found = self.entries(ldap, &clause).await?;
        let mut same = Vec::new();
        for entry in &found {
            if self.path_of(entry)? == path {
                same.push(entry);
            }
        }
        match (same.as_slice(), found.first()) {
            ([entry], _) => Ok((*entry).clone()),
            ([_, other, ..], _) => Err(Failure::Invalid(format!(
                "{} has two accounts of this name, one of them {}",
                self.server.shown(),
                other.dn
            ))),
            // A directory takes ALICE for alice. To scopes and policies they are two.
            ([], Some(other)) => {
                Err(Failure::Invalid(format!("the path of {} is `{}`", other.dn, self.path_of(other)?)))
            }
            ([], None) => Err(Failure::NotFound(format!("{} has no account `{path}`", self.server.shown()))),
        }
    }

    pub(super) async fn by_id(&self, ldap: &mut Ldap, id: &str) -> Result<Option<Entry>, Failure> {
        let attributes = [self.attributes(), vec![COMPUTED]].concat();
        let found = self.search(ldap, (&self.base, Scope::Subtree), &self.is_id(id)?, attributes).await;
        Ok(found.map_err(|failure| configured("base", failure))?.into_iter().next())
    }

    /// The filter for the entry with this identifier.
    pub(super) fn is_id(&self, id: &str) -> Result<String, Failure> {
        let value = match &self.lock {
            Lock::Policy { .. } if id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') => id.to_owned(),
            Lock::AccountControl
                if id.bytes().all(|b| b.is_ascii_hexdigit()) && id.len().is_multiple_of(2) =>
            {
                let pairs = id.as_bytes().chunks(2).map(String::from_utf8_lossy);
                pairs.flat_map(|pair| ["\\".to_owned(), pair.into_owned()]).collect()
            }
            _ => return Err(Failure::Invalid(format!("`{id}` is no `{}`", self.lock.id()))),
        };
        Ok(format!("({}={value})", self.lock.id()))
    }

    pub(super) fn attributes(&self) -> Vec<&str> {
        let mut all = vec![self.attribute.as_str(), self.lock.id(), self.lock.attribute(), "memberOf"];
        all.extend(self.lock.created());
        all.extend(self.lock.used());
        if matches!(self.lock, Lock::Policy { .. }) {
            all.push("pwdPolicySubentry");
        }
        all
    }

    /// The accounts that a part of a filter fits.
    pub(super) async fn entries(&self, ldap: &mut Ldap, clause: &str) -> Result<Vec<Entry>, Failure> {
        let filter = format!("(&{}({}=*){clause})", self.filter, self.attribute);
        let found = self.search(ldap, (&self.base, Scope::Subtree), &filter, self.attributes()).await;
        found.map_err(|failure| configured("base", failure))
    }

    pub(super) async fn search(
        &self,
        ldap: &mut Ldap,
        (base, scope): (&str, Scope),
        filter: &str,
        attributes: Vec<&str>,
    ) -> Result<Vec<Entry>, Failure> {
        let failed = |error| self.server.failure(&error);
        let odd =
            || Failure::Unavailable(format!("{} did not answer as a directory does", self.server.shown()));
        let attributes: Vec<String> = attributes.into_iter().map(ToOwned::to_owned).collect();
        let adapters: Vec<Box<dyn Adapter<'_, String, Vec<String>>>> =
            vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE))];
        let mut stream =
            ldap.streaming_search_with(adapters, base, scope, filter, attributes).await.map_err(failed)?;
        let mut found = Vec::new();
        while let Some(entry) = stream.next().await.map_err(failed)? {
            let entry = Entry::read(entry.0).ok_or_else(odd)?;
            if let Some(name) = entry.cut_short() {
                return Err(Failure::Unavailable(format!(
                    "{} gives only a part of the values of `{name}` of {}, and the host needs all of them",
                    self.server.shown(),
                    entry.dn
                )));
            }
            found.push(entry);
            if found.len() > MOST {
                return Err(self.too_many());
            }
        }
        let answer = stream.finish().await;
        match answer.rc {
            code::SUCCESS => Ok(found),
            code::SIZE_LIMIT => Err(self.too_many()),
            code::NO_SUCH_OBJECT => {
                Err(Failure::NotFound(format!("{} has no entry `{base}`", self.server.shown())))
            }
            _ => Err(self.server.answered(&answer)),
        }
    }

    pub(super) fn too_many(&self) -> Failure {
        Failure::Unavailable(format!(
            "{} has more entries for this than the host reads ({MOST}) or than it gives to it: make `base` or `filter` narrower",
            self.server.shown()
        ))
    }
}

/// What is not there although remit.toml says so.
pub(super) fn configured(setting: &str, failure: Failure) -> Failure {
    match failure {
        Failure::NotFound(why) => Failure::Invalid(format!("{why}: check `{setting}` in remit.toml")),
        other => other,
    }
}
