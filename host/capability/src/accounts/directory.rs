//! The accounts of a directory.

use std::path::Path;

use remit_backend::BackendError;
use remit_backend::accounts::{Account, AccountsConfig, Before, Directory, Serving};
use remit_gate::{Authority, Failure, Prepared, State};
use serde_json::Value;

use super::{Shown, written};
use crate::connected::Found;

/// A directory that is reached by LDAP.
pub(super) struct LdapAccounts(Directory);

impl LdapAccounts {
    pub(super) fn open(entry: &AccountsConfig, home: &Path) -> Result<Self, BackendError> {
        match &entry.serving {
            Serving::OpenLdap(config) => Directory::openldap(config, home).map(Self),
            Serving::ActiveDirectory(config) => Directory::active_directory(config, home).map(Self),
            Serving::Roles(_) => {
                Err(BackendError::Setting { setting: "backend", why: "it is no directory".to_owned() })
            }
        }
    }

    pub(super) async fn check(&self) -> Result<String, Failure> {
        self.0.check().await
    }

    pub(super) async fn list(&self) -> Result<Vec<Shown>, Failure> {
        Ok(self.0.list().await?.into_iter().map(Shown::from).collect())
    }

    pub(super) async fn account(&self, path: &str) -> Result<Shown, Failure> {
        Ok(self.0.account(path).await?.into())
    }

    pub(super) async fn before(&self, path: &str) -> Result<Prepared<Found>, Failure> {
        let before = self.0.before(path).await?;
        let describe = match &before.was {
            Some(was) => format!("set it back to {was}, which lets {} sign in again", before.dn),
            None => format!("let {} sign in again", before.dn),
        };
        let undo = serde_json::to_value(before).map_err(|why| Failure::Invalid(why.to_string()))?;
        let undo = Found { undo, describe, would_return: Value::Null };
        Ok(Prepared { undo, secret: None, irrevocable: None })
    }

    pub(super) async fn disable(&self, before: &Prepared<Found>, by: Authority<'_>) -> Result<(), Failure> {
        self.0.disable(&written::<Before>(before)?, by).await
    }

    pub(super) async fn enable(&self, before: &Prepared<Found>, by: Authority<'_>) -> Result<(), Failure> {
        self.0.enable(&written::<Before>(before)?, by).await
    }

    pub(super) async fn state(&self, before: &Prepared<Found>) -> Result<State, Failure> {
        self.0.state(&written::<Before>(before)?).await
    }
}

impl From<Account> for Shown {
    fn from(account: Account) -> Self {
        let Account { path, name, enabled, groups, created, last_used } = account;
        Self { path, name, enabled, groups, created, last_used }
    }
}
