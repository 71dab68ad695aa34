//! `[[accounts]]` of `remit.toml`.

use std::path::PathBuf;

use jiff::SignedDuration;
use ldap3::parse_filter;
use remit_gate::Resource;
use remit_text::{Mistake, Table, this_machine};
use serde::Deserialize;
use serde_json::{Value, json};

use super::KIND;
use crate::BackendError;

/// The longest time-out that can be configured.
const MAX_TIMEOUT: SignedDuration = SignedDuration::from_secs(300);

/// One system with accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountsConfig {
    /// The first segment of the paths of its accounts: `directory` of `account:directory/alice`.
    pub name: String,
    /// What has the accounts.
    pub serving: Serving,
}

/// What has the accounts, with its own keys: `backend` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// `OpenLDAP` with the overlay `ppolicy`: `backend = "openldap"`.
    OpenLdap(LdapConfig),
    /// Active Directory: `backend = "active-directory"`.
    ActiveDirectory(LdapConfig),
    /// The roles of a server of `[[databases]]`, by its name: `backend = "databases"`.
    Roles(RolesConfig),
}

/// The roles of a server of `[[databases]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesConfig {
    /// The name of the server in `[[databases]]`.
    pub server: String,
}

/// A directory that is reached by LDAP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdapConfig {
    /// `ldaps://HOST[:PORT]`, or `ldap://HOST[:PORT]`, which is encrypted by `StartTLS`.
    pub address: String,
    /// The distinguished name that the host signs in as.
    pub bind_dn: String,
    /// The file with its password, relative to Remit's home; read again for each call.
    pub password_file: PathBuf,
    /// The distinguished name below which the accounts are.
    pub base: String,
    /// Which entries are accounts: a filter by RFC 4515.
    pub filter: Option<String>,
    /// The attribute whose value names an account.
    pub attribute: Option<String>,
    /// How groups are found; without it, by the attribute `memberOf` of the account.
    pub groups: Option<GroupsConfig>,
    /// Of `OpenLDAP`, the policy of accounts that name none of their own: the `ppolicy_default` of the server.
    pub policy: Option<String>,
    /// Whether a connection by `ldap://` is encrypted; without it, it is, unless it stays on this machine.
    pub tls: Option<bool>,
    /// The CA that signed the server's certificate, in PEM, relative to Remit's home. Without it the public ones are trusted.
    pub ca_file: Option<PathBuf>,
    /// The maximum time of one call.
    #[serde(default = "default_timeout", deserialize_with = "remit_text::duration::deserialize")]
    pub timeout: SignedDuration,
}

/// Groups that are searched for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsConfig {
    /// The distinguished name below which the groups are.
    pub base: String,
    /// The attribute with the members: their distinguished names; of `memberUid`, their names.
    #[serde(default = "default_member")]
    pub member: String,
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(5)
}

fn default_member() -> String {
    "member".to_owned()
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Backend {
    Openldap,
    ActiveDirectory,
    Databases,
}

impl AccountsConfig {
    /// The section of `remit.toml`.
    pub const SECTION: &'static str = "accounts";

    /// Reads one entry. A mistake shows its line.
    pub fn read(mut entry: Table<'_>) -> Result<Self, Mistake> {
        let Some(backend) = entry.take("backend")? else {
            return Err(entry
                .mistake("the entry needs `backend`: \"openldap\", \"active-directory\" or \"databases\""));
        };
        let Some(name) = entry.take("name")? else {
            return Err(entry.mistake("the entry needs `name`: the first segment of its accounts' paths"));
        };
        Ok(Self {
            name,
            serving: match backend {
                Backend::Openldap => Serving::OpenLdap(entry.rest("the openldap backend")?),
                Backend::ActiveDirectory => {
                    Serving::ActiveDirectory(entry.rest("the active-directory backend")?)
                }
                Backend::Databases => Serving::Roles(entry.rest("the databases backend")?),
            },
        })
    }

    /// Checks what can be checked without the system.
    pub fn check(&self) -> Result<(), BackendError> {
        if self.name.contains('/') || Resource::new(KIND, &self.name).is_err() {
            return Err(BackendError::setting(
                "name",
                "it is one segment of a path: ASCII letters, digits and - _ . @ + = ~",
            ));
        }
        match &self.serving {
            Serving::OpenLdap(config) if config.policy.is_none() => Err(BackendError::setting(
                "policy",
                "it is missing: without a password policy that has `pwdLockout: TRUE`, a lock keeps nobody out; write the \
                 `ppolicy_default` of the server",
            )),
            Serving::ActiveDirectory(LdapConfig { policy: Some(_), .. }) => {
                Err(BackendError::setting("policy", "only the openldap backend has it"))
            }
            Serving::OpenLdap(config) | Serving::ActiveDirectory(config) => config.check(),
            Serving::Roles(_) => Ok(()),
        }
    }

    /// What the meaning of a path depends on, beside the address. A request for another one is not this one's. As whom the host signs in
    /// is no part of it: what was changed can be taken back by another account of the host.
    #[must_use]
    pub fn identity(&self) -> Value {
        match &self.serving {
            Serving::OpenLdap(of) | Serving::ActiveDirectory(of) => json!({
                "base": of.base,
                "filter": of.filter,
                "attribute": of.attribute,
                "groups": of.groups.as_ref().map(|groups| json!({ "base": groups.base, "member": groups.member })),
                "policy": of.policy,
            }),
            Serving::Roles(of) => json!({ "server": of.server }),
        }
    }
}

/// Scheme, host and port of an address.
pub(super) struct Parts<'a> {
    /// Whether it is `ldaps`.
    pub(super) secure: bool,
    /// The host, without the brackets of IPv6.
    pub(super) host: &'a str,
    pub(super) port: u16,
}

impl LdapConfig {
    pub(super) fn parts(&self) -> Result<Parts<'_>, BackendError> {
        let wrong = || {
            BackendError::setting(
                "address",
                "write ldaps://HOST or ldap://HOST, and a port after a colon where it is another one",
            )
        };
        let (secure, rest) =
            match (self.address.strip_prefix("ldaps://"), self.address.strip_prefix("ldap://")) {
                (Some(rest), _) => (true, rest),
                (None, Some(rest)) => (false, rest),
                (None, None) => return Err(wrong()),
            };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            Some(_) => return Err(wrong()),
            None => rest.find(':').map_or((rest, ""), |at| rest.split_at(at)),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => port.is_empty().then_some(if secure { 636 } else { 389 }),
        };
        match port {
            Some(port) if !host.is_empty() && host.chars().all(plain) => Ok(Parts { secure, host, port }),
            _ => Err(wrong()),
        }
    }

    /// Whether `StartTLS` is asked for; an error if others could read the connection and nobody said that they may.
    pub(super) fn starts_tls(&self) -> Result<bool, BackendError> {
        let Parts { secure, host, .. } = self.parts()?;
        match (self.tls, secure) {
            (Some(false), true) => {
                Err(BackendError::setting("tls", "it is false, and ldaps:// is encrypted"))
            }
            (Some(false), false) if self.ca_file.is_some() => {
                Err(BackendError::setting("tls", "it is false, and `ca_file` is for encrypted connections"))
            }
            (_, true) => Ok(false),
            (Some(tls), false) => Ok(tls),
            (None, false) => Ok(this_machine(host).is_none() || self.ca_file.is_some()),
        }
    }

    fn check(&self) -> Result<(), BackendError> {
        let wrong = |setting, why: &str| Err(BackendError::setting(setting, why));
        self.starts_tls()?;
        for (setting, name) in [("bind_dn", Some(&self.bind_dn)), ("policy", self.policy.as_ref())] {
            if name.is_some_and(String::is_empty) {
                return wrong(setting, "it names no entry");
            }
        }
        // Active Directory lets it in by other names too. The host would not know its own account by them.
        if !self.bind_dn.contains('=') {
            return wrong(
                "bind_dn",
                "it is no distinguished name, such as cn=remit,ou=services,dc=example,dc=org",
            );
        }
        let attribute = |name: &str| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        };
        if self.attribute.as_deref().is_some_and(|name| !attribute(name)) {
            return wrong("attribute", "it is no name of an attribute");
        }
        if self.groups.as_ref().is_some_and(|groups| !attribute(&groups.member)) {
            return wrong("groups", "`member` is no name of an attribute");
        }
        if let Some(filter) = &self.filter
            && (!filter.starts_with('(') || parse_filter(filter).is_err())
        {
            return wrong("filter", "it is no filter as RFC 4515 has them, such as (objectClass=person)");
        }
        if self.timeout <= SignedDuration::ZERO || self.timeout > MAX_TIMEOUT {
            return wrong("timeout", "it must be more than nothing and at most five minutes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LDAP: &str = "bind_dn = 'cn=remit'\npassword_file = 'p'\nbase = 'dc=x'\n";

    fn read(text: &str) -> Result<AccountsConfig, Mistake> {
        let text = format!("[[accounts]]\nname = 'directory'\n{text}");
        let entries = Table::parse(&text)?.entries(AccountsConfig::SECTION)?;
        entries.into_iter().map(AccountsConfig::read).next().unwrap()
    }

    fn directory(more: &str) -> LdapConfig {
        match read(&format!("backend = 'openldap'\npolicy = 'cn=p'\n{LDAP}{more}")).unwrap().serving {
            Serving::OpenLdap(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_stays_here_is_plain_unless_somebody_says_so() {
        for (more, starts) in [
            ("address = 'ldap://ldap.example.org'", Some(true)),
            ("address = 'ldap://10.0.0.1:3890'", Some(true)),
            ("address = 'ldap://10.0.0.1'\ntls = false", Some(false)),
            ("address = 'ldap://localhost'", Some(false)),
            ("address = 'ldap://127.0.0.1:389'", Some(false)),
            ("address = 'ldap://[::1]:389'", Some(false)),
            ("address = 'ldap://[::1]'\ntls = true", Some(true)),
            ("address = 'ldap://127.0.0.1'\nca_file = 'ca.pem'", Some(true)),
            ("address = 'ldap://127.0.0.1'\nca_file = 'ca.pem'\ntls = false", None),
            ("address = 'ldaps://ldap.example.org'", Some(false)),
            ("address = 'ldaps://ldap.example.org'\ntls = false", None),
            // Not this machine, whatever it begins with.
            ("address = 'ldap://localhost.example.org'", Some(true)),
            ("address = 'ldap://127.0.0.1.example.org'", Some(true)),
        ] {
            assert_eq!(directory(more).starts_tls().ok(), starts, "{more}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (more, setting) in [
            ("address = 'ldap.example.org'", "address"),
            ("address = 'ldap://'", "address"),
            ("address = 'ldap://a/dc=x'", "address"),
            ("address = 'ldap://user@a'", "address"),
            ("address = 'ldap://a:0'", "address"),
            ("address = 'ldap://[::1'", "address"),
            ("address = 'ldap://a'\nfilter = 'objectClass=*'", "filter"),
            ("address = 'ldap://a'\nfilter = '(a=b)(c=d)'", "filter"),
            ("address = 'ldap://a'\nattribute = 'uid)(x'", "attribute"),
            ("address = 'ldap://a'\ngroups = { base = 'x', member = 'a b' }", "groups"),
            ("address = 'ldap://a'\ntimeout = '1h'", "timeout"),
        ] {
            let refused = directory(more).check().unwrap_err();
            assert!(
                matches!(refused, BackendError::Setting { setting: found, .. } if found == setting),
                "{more}: {refused}"
            );
        }
        let told = |text: &str| match read(text) {
            Err(mistake) => mistake.to_string(),
            Ok(read) => read.check().unwrap_err().to_string(),
        };
        for (text, why) in [
            ("backend = 'ldap'", "expected one of `openldap`, `active-directory`, `databases`"),
            ("server = 'main'", "needs `backend`"),
            ("backend = 'databases'", "missing field `server`"),
            (&format!("backend = 'openldap'\naddress = 'ldap://a'\n{LDAP}"), "pwdLockout"),
            (
                &format!("backend = 'active-directory'\naddress = 'ldap://a'\npolicy = 'x'\n{LDAP}"),
                "only the openldap",
            ),
            (
                "backend = 'active-directory'\naddress = 'ldap://a'\nbind_dn = 'remit@example.org'\npassword_file = 'p'\nbase = 'dc=x'",
                "it is no distinguished name",
            ),
        ] {
            assert!(told(text).contains(why), "{text}: {}", told(text));
        }
    }
}
