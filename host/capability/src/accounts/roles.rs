//! The roles of a database server, as accounts. What is done to one is the operation of `remit:databases`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use remit_backend::databases::{KIND, Role, Target};
use remit_backend::{BackendError, DatabaseConfig, Databases, Systems as _};
use remit_gate::{Authority, Change, Failure, Prepared, Resource, State};
use remit_trust::SecretBytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Shown, written};
use crate::connected::Found;
use crate::databases::{BeforeEnd, BeforeLogin, DisableLogin, EndSessions};

/// The roles of one server.
pub(super) struct Roles {
    databases: Databases,
    /// The name of the server in `[[databases]]`.
    server: String,
}

impl Roles {
    pub(super) fn open(server: &DatabaseConfig, home: &Path) -> Result<Self, BackendError> {
        let databases = Databases::open(std::slice::from_ref(server), home)?;
        Ok(Self { databases, server: server.name.clone() })
    }

    /// The role as `remit:databases` names it.
    fn role(&self, name: &str) -> Result<Resource, Failure> {
        if name.contains('/') {
            return Err(Failure::Invalid(format!("a role is named by one segment, not by `{name}`")));
        }
        let path = format!("{}/{name}", self.server);
        Resource::new(KIND, &path).map_err(|error| Failure::Invalid(error.to_string()))
    }

    fn all(&self) -> Result<Resource, Failure> {
        Resource::new(KIND, &self.server).map_err(|error| Failure::Invalid(error.to_string()))
    }

    pub(super) async fn check(&self) -> Result<String, Failure> {
        self.databases.at(&self.all()?)?.check().await
    }

    pub(super) async fn list(&self) -> Result<Vec<Shown>, Failure> {
        let now = now();
        let roles = self.databases.at(&self.all()?)?.list().await?;
        let mut all: Vec<Shown> = roles.into_iter().map(|role| self.shown(role, now)).collect();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(all)
    }

    pub(super) async fn account(&self, name: &str) -> Result<Shown, Failure> {
        let role = self.databases.at(&self.role(name)?)?.role(name).await?;
        Ok(self.shown(role, now()))
    }

    /// A role with a session is in use now, whatever is written down elsewhere.
    fn shown(&self, role: Role, now: Option<u64>) -> Shown {
        let last_used = if role.sessions > 0 { role.last_used.max(now) } else { role.last_used };
        // What has another name is seen, and is out of reach: no path has a colon.
        let named = self.role(&role.name).is_ok();
        Shown {
            path: if named { role.name.clone() } else { format!("oid:{}", role.oid) },
            name: role.name,
            enabled: role.can_login,
            groups: role.groups,
            created: None,
            last_used,
        }
    }

    pub(super) async fn before_disabling(&self, name: &str) -> Result<Prepared<Found>, Failure> {
        let change = DisableLogin { resource: self.role(name)? };
        let prepared = change.prepare(&self.databases).await?;
        found(&change, prepared, Value::Null)
    }

    /// `ended` says that the rehearsal ended them before.
    pub(super) async fn before_ending(&self, name: &str, ended: bool) -> Result<Prepared<Found>, Failure> {
        let change = EndSessions { resource: self.role(name)? };
        let prepared = change.prepare(&self.databases).await?;
        let sessions = if ended { 0 } else { change.rehearse(&prepared, &self.databases) };
        found(&change, prepared, sessions.into())
    }

    pub(super) async fn set_login(
        &self,
        name: &str,
        before: &Prepared<Found>,
        to: bool,
        by: Authority<'_>,
    ) -> Result<(), Failure> {
        let target = Target { name, oid: written::<BeforeLogin>(before)?.oid };
        self.databases.server(&self.role(name)?)?.set_login(target, to, by).await
    }

    pub(super) async fn end_sessions(
        &self,
        name: &str,
        before: &Prepared<Found>,
        by: Authority<'_>,
    ) -> Result<u32, Failure> {
        let target = Target { name, oid: written::<BeforeEnd>(before)?.oid };
        self.databases.server(&self.role(name)?)?.end_sessions(target, by).await
    }

    pub(super) async fn state_of_login(
        &self,
        name: &str,
        before: &Prepared<Found>,
    ) -> Result<State, Failure> {
        DisableLogin { resource: self.role(name)? }.state(&prepared(before)?, &self.databases).await
    }

    pub(super) async fn state_of_sessions(
        &self,
        name: &str,
        before: &Prepared<Found>,
    ) -> Result<State, Failure> {
        EndSessions { resource: self.role(name)? }.state(&prepared(before)?, &self.databases).await
    }
}

fn now() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(now.as_millis()).ok()
}

/// What an operation of `remit:databases` prepared, as a connector says it.
fn found<O: Change>(
    of: &O,
    prepared: Prepared<O::Undo>,
    would_return: Value,
) -> Result<Prepared<Found>, Failure> {
    let describe = of.describe_undo(&prepared.undo);
    let undo = serde_json::to_value(&prepared.undo).map_err(|why| Failure::Invalid(why.to_string()))?;
    let undo = Found { undo, describe, would_return };
    Ok(Prepared { undo, secret: prepared.secret, irrevocable: prepared.irrevocable })
}

/// The other way round.
fn prepared<U: DeserializeOwned>(before: &Prepared<Found>) -> Result<Prepared<U>, Failure> {
    let secret = before.secret.as_ref().map(|secret| SecretBytes::new(secret.expose().to_vec()));
    Ok(Prepared { undo: written(before)?, secret, irrevocable: before.irrevocable.clone() })
}
