//! Accounts in directories.

mod config;
mod ldap;

pub use config::{AccountsConfig, GroupsConfig, LdapConfig, RolesConfig, Serving};
pub use ldap::Directory;

/// The kind of every account: `account:directory/alice`.
pub const KIND: &str = "account";

/// One account of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What follows the name of the directory in its path.
    pub path: String,
    /// The name that it signs in with.
    pub name: String,
    /// Whether it can be used.
    pub enabled: bool,
    /// The distinguished names of the groups that it is a direct member of, in order.
    pub groups: Vec<String>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created: Option<u64>,
    /// When it was used last, in milliseconds since the Unix epoch, as far as the directory keeps it.
    pub last_used: Option<u64>,
}

/// What an account was before it was disabled: all that is needed to tell it from another one, and to put it back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Which account it was, whatever its name: the directory's own identifier of the entry.
    pub id: String,
    /// Its distinguished name then. It is shown, and what was approved is this one.
    pub dn: String,
    /// The value of the attribute that says whether it can be used; none if there was no value.
    pub was: Option<String>,
}
