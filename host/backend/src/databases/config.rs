//! `[[databases]]` of `remit.toml`.

use std::path::PathBuf;

use jiff::SignedDuration;
use remit_text::{Mistake, Table, this_machine};
use serde::Deserialize;

use crate::BackendError;

/// The longest time-out that can be configured.
const MAX_TIMEOUT: SignedDuration = SignedDuration::from_secs(300);

/// One database server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The first segment of the paths of its roles: `main` of `database-role:main/app`.
    pub name: String,
    /// A host name, an IP address, or the directory of a Unix socket.
    pub address: String,
    /// The port of the server.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The role that the host signs in as.
    pub role: String,
    /// The file with its password, relative to Remit's home; read again for each connection. Without one the server has to let
    /// the host in by something else, such as who it runs as.
    pub password_file: Option<PathBuf>,
    /// The database that the host connects to.
    #[serde(default = "default_database")]
    pub database: String,
    /// Whether the connection is encrypted; without it, it is, unless it stays on this machine.
    pub tls: Option<bool>,
    /// The CA that signed the server's certificate, in PEM, relative to Remit's home. Without it the public ones are trusted.
    pub ca_file: Option<PathBuf>,
    /// A table or view `SCHEMA.NAME` with the columns `role` and `at`, which says when roles were used last.
    pub last_used: Option<String>,
    /// Whether roles may be changed that may do everything on the server.
    #[serde(default)]
    pub superusers: bool,
    /// The maximum time of one call.
    #[serde(default = "default_timeout", deserialize_with = "remit_text::duration::deserialize")]
    pub timeout: SignedDuration,
}

fn default_port() -> u16 {
    5432
}

fn default_database() -> String {
    "postgres".to_owned()
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(5)
}

impl DatabaseConfig {
    pub(super) fn read(entry: Table<'_>) -> Result<Self, Mistake> {
        entry.rest("a server of [[databases]]")
    }

    /// Whether the connection is encrypted; an error if others could read it and nobody said that they may.
    pub(super) fn encrypts(&self) -> Result<bool, BackendError> {
        let stays_here = self.is_socket() || this_machine(&self.address).is_some();
        match (self.tls, &self.ca_file) {
            (Some(false), Some(_)) => {
                Err(BackendError::setting("tls", "it is false, and `ca_file` is for encrypted connections"))
            }
            (Some(true), _) if self.is_socket() => {
                Err(BackendError::setting("tls", "a Unix socket has no TLS and needs none"))
            }
            (Some(tls), _) => Ok(tls),
            (None, ca) => Ok(!stays_here || ca.is_some() && !self.is_socket()),
        }
    }

    /// Whether the address is the directory of a Unix socket.
    pub(super) fn is_socket(&self) -> bool {
        self.address.starts_with('/')
    }

    /// Checks what can be checked without the server.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        let wrong = |setting, why: &str| Err(BackendError::setting(setting, why));
        if self.name.is_empty() || self.name.contains('/') {
            return wrong("name", "it is one segment of a path: not empty, and without a slash");
        }
        if self.address.is_empty() || !self.is_socket() && self.address.contains(['/', ',', ' ', '@']) {
            return wrong("address", "it is neither a host name, nor an IP address, nor an absolute path");
        }
        if self.port == 0 {
            return wrong("port", "ports count from 1");
        }
        if self.role.is_empty() || self.role.contains('\0') {
            return wrong("role", "it names no role");
        }
        if self.timeout <= SignedDuration::ZERO || self.timeout > MAX_TIMEOUT {
            return wrong("timeout", "it must be more than nothing and at most five minutes");
        }
        Ok(())
    }

    /// The table `last_used`, quoted for a query.
    pub(super) fn last_used_table(&self) -> Result<Option<String>, BackendError> {
        let Some(name) = &self.last_used else { return Ok(None) };
        let plain = |part: &str| {
            part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && part.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        };
        match name.split_once('.') {
            Some((schema, table)) if plain(schema) && plain(table) => {
                Ok(Some(format!("\"{schema}\".\"{table}\"")))
            }
            _ => Err(BackendError::setting(
                "last_used",
                "write SCHEMA.NAME, each of letters, digits and `_`, such as \"audit.last_login\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<DatabaseConfig, Mistake> {
        let text = format!("[[databases]]\nname = 'main'\nrole = 'remit'\n{more}");
        let entries = Table::parse(&text)?.entries("databases")?;
        entries.into_iter().map(DatabaseConfig::read).next().unwrap()
    }

    #[test]
    fn only_what_stays_here_is_plain_unless_somebody_says_so() {
        for (more, encrypts) in [
            ("address = 'db.example.org'", Some(true)),
            ("address = '10.0.0.1'", Some(true)),
            ("address = '10.0.0.1'\ntls = false", Some(false)),
            ("address = 'localhost'", Some(false)),
            ("address = '127.0.0.1'", Some(false)),
            ("address = '::1'", Some(false)),
            ("address = '::1'\ntls = true", Some(true)),
            ("address = '127.0.0.1'\nca_file = 'ca.pem'", Some(true)),
            ("address = '127.0.0.1'\nca_file = 'ca.pem'\ntls = false", None),
            ("address = '/run/postgresql'", Some(false)),
            ("address = '/run/postgresql'\ntls = true", None),
        ] {
            assert_eq!(read(more).unwrap().encrypts().ok(), encrypts, "{more}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (more, setting) in [
            ("address = 'a b'", "address"),
            ("address = 'postgres://x'", "address"),
            ("address = ''", "address"),
            ("address = 'x'\nport = 0", "port"),
            ("address = 'x'\ntimeout = '1h'", "timeout"),
            ("address = 'x'\nlast_used = 'logins'", "last_used"),
            ("address = 'x'\nlast_used = 'a.b\"; DROP'", "last_used"),
            ("address = 'x'\nlast_used = 'a.1'", "last_used"),
        ] {
            let read = read(more).unwrap();
            let refused = read.check().and_then(|()| read.last_used_table()).unwrap_err();
            assert!(
                matches!(refused, BackendError::Setting { setting: found, .. } if found == setting),
                "{more}"
            );
        }
        let table = read("address = 'x'\nlast_used = 'audit.last_login'").unwrap().last_used_table().unwrap();
        assert_eq!(table.as_deref(), Some("\"audit\".\"last_login\""));
        assert!(read("adress = 'x'").unwrap_err().to_string().contains("has no key `adress`; it has `name`"));
    }
}
