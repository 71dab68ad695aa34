//! Directories that are reached by LDAP (RFC 4511): `OpenLDAP` with the overlay `ppolicy`, and Active Directory.
//!
//! Each call has a connection of its own, so that the host's password is read anew. A change is one operation of the protocol that
//! names the value that it replaces, and the entry: by the assertion control (RFC 4528), or by a name that no other one has. What
//! somebody else did in between makes it fail as a whole.

mod connect;
mod entry;
mod lock;
mod search;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::Path;

use ldap3::controls::{Assertion, MakeCritical as _};
use ldap3::{Ldap, Mod, Scope, ldap_escape};
use remit_gate::{Authority, Failure, Resource, State};

use super::{Account, Before, GroupsConfig, KIND, LdapConfig};
use crate::BackendError;
use connect::{Server, code};
use entry::Entry;
use lock::{ACCOUNT_DISABLE, FOR_EVER, Lock, control};
use search::configured;

/// Before the identifier of an account whose name cannot be in a path.
const BY_ID: &str = "by-id/";

/// A directory.
pub struct Directory {
    server: Server,
    base: String,
    filter: String,
    attribute: String,
    groups: Option<GroupsConfig>,
    lock: Lock,
}

impl Directory {
    /// A directory of `OpenLDAP`. Does not contact it; files are relative to `home`.
    pub fn openldap(entry: &LdapConfig, home: &Path) -> Result<Self, BackendError> {
        let lock = Lock::Policy { default: entry.policy.clone().unwrap_or_default() };
        Self::open(entry, home, lock, ("uid", "(objectClass=person)"))
    }

    /// Active Directory.
    pub fn active_directory(entry: &LdapConfig, home: &Path) -> Result<Self, BackendError> {
        let people = "(&(objectCategory=person)(objectClass=user))";
        Self::open(entry, home, Lock::AccountControl, ("sAMAccountName", people))
    }

    fn open(
        entry: &LdapConfig,
        home: &Path,
        lock: Lock,
        (attribute, filter): (&str, &str),
    ) -> Result<Self, BackendError> {
        Ok(Self {
            server: Server::open(entry, home)?,
            base: entry.base.clone(),
            filter: entry.filter.clone().unwrap_or_else(|| filter.to_owned()),
            attribute: entry.attribute.clone().unwrap_or_else(|| attribute.to_owned()),
            groups: entry.groups.clone(),
            lock,
        })
    }

    /// The accounts, in the order of their paths.
    pub async fn list(&self) -> Result<Vec<Account>, Failure> {
        self.server
            .with(async |mut ldap: Ldap| {
                let entries = self.entries(&mut ldap, "").await?;
                let groups = self.all_groups(&mut ldap).await?;
                let mut accounts = entries
                    .iter()
                    .map(|entry| {
                        let member = self.member_value(entry).map(str::to_lowercase);
                        let found =
                            member.and_then(|member| groups.get(&member).cloned()).unwrap_or_default();
                        self.account_of(entry, found)
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                accounts.sort_by(|one, other| one.path.cmp(&other.path));
                Ok(accounts)
            })
            .await
    }

    /// The account at a path below the directory's name.
    pub async fn account(&self, path: &str) -> Result<Account, Failure> {
        self.server
            .with(async |mut ldap: Ldap| {
                let entry = self.find(&mut ldap, path).await?;
                let groups = self.groups_of(&mut ldap, &entry).await?;
                self.account_of(&entry, groups)
            })
            .await
    }

    /// What an account is before it is disabled. A failure if it cannot be, or if that would keep nobody out.
    pub async fn before(&self, path: &str) -> Result<Before, Failure> {
        self.server
            .with(async |mut ldap: Ldap| {
                let entry = self.find(&mut ldap, path).await?;
                let was = entry.one(self.lock.attribute());
                if !self.enabled(&entry)? {
                    return Err(Failure::Conflict(format!("{} is disabled already", entry.dn)));
                }
                let id = self.id_of(&entry)?;
                if self.own_id(&mut ldap).await?.as_ref() == Some(&id) {
                    return Err(Failure::Denied(format!(
                        "the host itself signs in as {}, and leaves that account alone",
                        entry.dn
                    )));
                }
                match &self.lock {
                    Lock::Policy { default } => {
                        let policy = entry.one("pwdPolicySubentry").unwrap_or(default);
                        self.policy_locks(&mut ldap, policy).await?;
                    }
                    Lock::AccountControl => self.may_write(&mut ldap, &entry).await?,
                }
                Ok(Before { id, was: was.map(ToOwned::to_owned), dn: entry.dn })
            })
            .await
    }

    /// Disables an account, if it still is as it was.
    pub async fn disable(&self, before: &Before, by: Authority<'_>) -> Result<(), Failure> {
        tracing::info!(operation = by.operation(), dn = before.dn, "LDAP disables an account");
        let to = self.lock.disabled(before)?;
        self.swap(before, before.was.as_deref(), Some(&to)).await
    }

    /// Puts an account back as it was, if it still is as disabling it left it.
    pub async fn enable(&self, before: &Before, by: Authority<'_>) -> Result<(), Failure> {
        tracing::info!(operation = by.operation(), dn = before.dn, "LDAP enables an account");
        let from = self.lock.disabled(before)?;
        self.swap(before, Some(&from), before.was.as_deref()).await
    }

    /// Compares an account with what it was before it was disabled.
    pub async fn state(&self, before: &Before) -> Result<State, Failure> {
        let disabled = self.lock.disabled(before)?;
        self.server
            .with(async |mut ldap: Ldap| {
                Ok(match self.by_id(&mut ldap, &before.id).await? {
                    None => State::Other(self.gone(before)),
                    Some(entry) => match entry.one(self.lock.attribute()) {
                        now if now == before.was.as_deref() => State::Before,
                        Some(now) if now == disabled => State::After,
                        _ => State::Other(format!(
                            "somebody else changed `{}` of {}",
                            self.lock.attribute(),
                            entry.dn
                        )),
                    },
                })
            })
            .await
    }

    /// Whether the directory can be used right now; in a line for a person.
    pub async fn check(&self) -> Result<String, Failure> {
        let (entries, accounts) = self
            .server
            .with(async |mut ldap: Ldap| {
                if let Lock::Policy { default } = &self.lock {
                    self.policy_locks(&mut ldap, default).await?;
                }
                let entries = self.entries(&mut ldap, "").await?;
                let accounts = entries.iter().map(|entry| self.account_of(entry, Vec::new()));
                let accounts = accounts.collect::<Result<Vec<_>, _>>()?;
                Ok((entries.len(), accounts))
            })
            .await?;
        let how = if self.server.is_encrypted() { "with TLS" } else { "without TLS" };
        let used = if accounts.iter().any(|account| account.last_used.is_some()) {
            "it keeps when they were used last".to_owned()
        } else {
            format!("of none of them it says when it was used last ({})", self.lock.used().join(", "))
        };
        Ok(format!("{entries} accounts below {} at {} {how}; {used}", self.base, self.server.shown()))
    }

    /// Replaces the value that says whether an account can be used: one operation, which the server does as a whole or not at all.
    async fn swap(&self, before: &Before, from: Option<&str>, to: Option<&str>) -> Result<(), Failure> {
        let attribute = self.lock.attribute();
        self.server
            .with(async |mut ldap: Ldap| {
                let gone = || Failure::Conflict(self.gone(before));
                let entry = self.by_id(&mut ldap, &before.id).await?.ok_or_else(gone)?;
                let to = to.map(|to| self.lock.written(to, &entry));
                if self.asserts(&mut ldap).await? {
                    let filter = self.is_id(&before.id)?;
                    ldap.with_controls(Assertion { filter }.critical());
                }
                let mut changes = Vec::new();
                if let Some(from) = from {
                    changes.push(Mod::Delete(attribute, HashSet::from([from])));
                }
                if let Some(to) = &to {
                    changes.push(Mod::Add(attribute, HashSet::from([to.as_str()])));
                }
                let answer = ldap.modify(&self.lock.target(&entry, &before.id), changes).await;
                let answer = answer.map_err(|error| self.server.failure(&error))?;
                match answer.rc {
                    code::SUCCESS => Ok(()),
                    _ => Err(self.server.answered(&answer)),
                }
            })
            .await
    }

    fn gone(&self, before: &Before) -> String {
        format!("{} is gone, or is not below {} any more", before.dn, self.base)
    }

    fn id_of(&self, entry: &Entry) -> Result<String, Failure> {
        let id = match &self.lock {
            Lock::Policy { .. } => entry.one(self.lock.id()).map(ToOwned::to_owned),
            Lock::AccountControl => entry.values(self.lock.id()).first().map(hex::encode),
        };
        let may_not =
            || Failure::Denied(format!("the host may not read `{}` of {}", self.lock.id(), entry.dn));
        id.filter(|id| !id.is_empty()).ok_or_else(may_not)
    }

    /// The name of an account: of several values the first by their bytes, whatever order the server gives them in.
    fn name_of<'e>(&self, entry: &'e Entry) -> Option<&'e str> {
        entry.texts(&self.attribute).min()
    }

    /// The path of an account: its name, or its identifier if its name cannot be in a path.
    fn path_of(&self, entry: &Entry) -> Result<String, Failure> {
        let name = self.name_of(entry);
        let named = name.filter(|name| !name.contains('/') && Resource::new(KIND, name).is_ok());
        named.map_or_else(|| Ok(format!("{BY_ID}{}", self.id_of(entry)?)), |name| Ok(name.to_owned()))
    }

    fn account_of(&self, entry: &Entry, mut groups: Vec<String>) -> Result<Account, Failure> {
        if self.groups.is_none() {
            groups = entry.texts("memberOf").map(ToOwned::to_owned).collect();
        }
        groups.sort();
        Ok(Account {
            path: self.path_of(entry)?,
            name: self.name_of(entry).unwrap_or_default().to_owned(),
            enabled: self.enabled(entry)?,
            groups,
            created: entry.newest(self.lock.created())?,
            last_used: entry.newest(self.lock.used())?,
        })
    }

    /// Whether an account can be used. A lock that ends by itself is none.
    fn enabled(&self, entry: &Entry) -> Result<bool, Failure> {
        let value = entry.one(self.lock.attribute());
        Ok(match self.lock {
            Lock::Policy { .. } => value != Some(FOR_EVER),
            Lock::AccountControl => control(value, &entry.dn)? & ACCOUNT_DISABLE == 0,
        })
    }

    /// By what a group names an account as its member.
    fn member_value<'e>(&self, entry: &'e Entry) -> Option<&'e str> {
        let groups = self.groups.as_ref()?;
        if groups.member.eq_ignore_ascii_case("memberUid") { self.name_of(entry) } else { Some(&entry.dn) }
    }

    async fn groups_of(&self, ldap: &mut Ldap, entry: &Entry) -> Result<Vec<String>, Failure> {
        let (Some(groups), Some(member)) = (&self.groups, self.member_value(entry)) else {
            return Ok(Vec::new());
        };
        let filter = format!("({}={})", groups.member, ldap_escape(member));
        let found = self.search(ldap, (&groups.base, Scope::Subtree), &filter, vec!["1.1"]).await;
        let found = found.map_err(|failure| configured("groups", failure))?;
        Ok(found.into_iter().map(|group| group.dn).collect())
    }

    /// The groups by what they name their members by, in small letters: a name of an entry is the same in any.
    async fn all_groups(&self, ldap: &mut Ldap) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let mut by_member = BTreeMap::<String, Vec<String>>::new();
        if let Some(groups) = &self.groups {
            let base = (groups.base.as_str(), Scope::Subtree);
            let filter = format!("({}=*)", groups.member);
            let found = self.search(ldap, base, &filter, vec![groups.member.as_str()]).await;
            for group in found.map_err(|failure| configured("groups", failure))? {
                let members: BTreeSet<_> = group.texts(&groups.member).map(str::to_lowercase).collect();
                for member in members {
                    by_member.entry(member).or_default().push(group.dn.clone());
                }
            }
        }
        Ok(by_member)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({} below {})", self.server.shown(), self.base)
    }
}
