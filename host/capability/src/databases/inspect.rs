//! Looking at roles and at their sessions.

use std::borrow::Cow;

use remit_backend::Databases;
use remit_backend::databases::{self, KIND};
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};

use super::argument::name;
use super::bindings::remit::databases::{inspect, sessions};
use crate::{CallError, Ctx};

impl inspect::Host for Ctx {
    async fn get(&mut self, path: String) -> Result<inspect::Role, CallError> {
        let resource = self.role::<Get>(&path)?;
        let (server, _) = path.split_once('/').unwrap_or_default();
        Ok(shown(server, self.observe(Get { resource }).await?))
    }

    async fn list(&mut self, place: String) -> Result<Vec<inspect::Role>, CallError> {
        let resource = self.server::<List>(&place)?;
        let roles = self.observe(List { resource }).await?;
        Ok(roles.into_iter().map(|role| shown(&place, role)).collect())
    }
}

fn shown(server: &str, role: databases::Role) -> inspect::Role {
    let path = format!("{server}/{}", role.name);
    // A name with a slash in it would be another path.
    let named = !role.name.contains('/') && Resource::new(KIND, &path).is_ok();
    inspect::Role {
        path: named.then_some(path),
        name: role.name,
        can_login: role.can_login,
        superuser: role.superuser,
        groups: role.groups,
        valid_until: role.valid_until,
        sessions: role.sessions,
        last_used: role.last_used,
    }
}

/// `remit:databases/inspect.get`: what a role is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// The role to look at.
    pub resource: Resource,
}

impl Operation for Get {
    const NAME: &'static str = "remit:databases/inspect.get";
    type Kind = Reads;
    type Backend = Databases;
    type Outcome = databases::Role;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Get {
    async fn observe(&self, on: &Databases) -> Result<databases::Role, Failure> {
        on.at(&self.resource)?.role(name(&self.resource)).await
    }
}

/// `remit:databases/inspect.list`: the roles of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The server whose roles they are.
    pub resource: Resource,
}

impl Operation for List {
    const NAME: &'static str = "remit:databases/inspect.list";
    type Kind = Reads;
    type Backend = Databases;
    type Outcome = Vec<databases::Role>;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for List {
    async fn observe(&self, on: &Databases) -> Result<Vec<databases::Role>, Failure> {
        on.at(&self.resource)?.list().await
    }
}

/// `remit:databases/sessions.sessions`: the sessions of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// The role whose sessions they are.
    pub resource: Resource,
}

impl sessions::Host for Ctx {
    async fn sessions(&mut self, path: String) -> Result<Vec<sessions::Session>, CallError> {
        let resource = self.role::<Sessions>(&path)?;
        let found = self.observe(Sessions { resource }).await?;
        let session = |databases::Session { database, client, application, since, .. }| sessions::Session {
            database,
            client,
            application,
            since,
        };
        Ok(found.into_iter().map(session).collect())
    }
}

impl Operation for Sessions {
    const NAME: &'static str = "remit:databases/sessions.sessions";
    type Kind = Reads;
    type Backend = Databases;
    type Outcome = Vec<databases::Session>;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Sessions {
    async fn observe(&self, on: &Databases) -> Result<Vec<databases::Session>, Failure> {
        on.at(&self.resource)?.sessions(name(&self.resource)).await
    }
}
