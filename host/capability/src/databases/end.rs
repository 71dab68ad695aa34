//! Ending the sessions of a role.

use std::borrow::Cow;

use remit_backend::Databases;
use remit_backend::databases::{Act, Target};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use serde::{Deserialize, Serialize};

use super::argument::name;
use super::bindings::remit::databases::end_sessions;
use super::password::right;
use crate::{CallError, Ctx};

impl end_sessions::Host for Ctx {
    async fn end_sessions(&mut self, path: String) -> Result<u32, CallError> {
        let resource = self.role::<EndSessions>(&path)?;
        self.change(EndSessions { resource }).await
    }
}

/// `remit:databases/end-sessions.end-sessions`: ends every session of a role, which cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSessions {
    /// The role whose sessions end.
    pub resource: Resource,
}

/// What there was, to tell whether it was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeEnd {
    /// Which role it was, whatever its name.
    pub oid: u32,
    /// Its sessions: the number of each one's process, and when it began.
    pub sessions: Vec<(i32, Option<u64>)>,
}

impl Operation for EndSessions {
    const NAME: &'static str = "remit:databases/end-sessions.end-sessions";
    type Kind = Changes;
    type Backend = Databases;
    type Outcome = u32;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for EndSessions {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Evict;
    const IRREVOCABLE: Option<&'static str> =
        Some("an ended session is gone, with what it was in the middle of");
    type Undo = BeforeEnd;

    async fn prepare(&self, on: &Databases) -> Result<Prepared<BeforeEnd>, Failure> {
        let (server, name) = (on.at(&self.resource)?, name(&self.resource));
        right(server.right(name, Act::EndSessions).await?)?;
        let oid = server.role(name).await?.oid;
        let sessions =
            server.sessions(name).await?.iter().map(|session| (session.pid, session.since)).collect();
        Ok(Prepared { undo: BeforeEnd { oid, sessions }, secret: None, irrevocable: None })
    }

    fn rehearse(&self, before: &Prepared<BeforeEnd>, on: &Databases) -> u32 {
        if let Some(played) = on.played(&self.resource) {
            played.end_sessions(name(&self.resource));
        }
        u32::try_from(before.undo.sessions.len()).unwrap_or(u32::MAX)
    }

    async fn perform(on: &Databases, by: Permit<'_, Self>) -> Result<u32, Failure> {
        let resource = &by.operation().resource;
        let target = Target { name: name(resource), oid: by.before().undo.oid };
        on.server(resource)?.end_sessions(target, by.authority()).await
    }

    /// Of the sessions that there were: others may have begun since.
    async fn state(&self, before: &Prepared<BeforeEnd>, on: &Databases) -> Result<State, Failure> {
        let found = match on.at(&self.resource)?.sessions(name(&self.resource)).await {
            // With a role that is gone, so are its sessions.
            Err(Failure::NotFound(_)) => return Ok(State::After),
            found => found?,
        };
        let is_there = |was: &(i32, Option<u64>)| found.iter().any(|now| (now.pid, now.since) == *was);
        let left = before.undo.sessions.iter().filter(|was| is_there(was)).count();
        Ok(if left == 0 {
            State::After
        } else if left == before.undo.sessions.len() {
            State::Before
        } else {
            State::Other(format!("{left} of {} sessions are still there", before.undo.sessions.len()))
        })
    }

    async fn undo(_: &Databases, _: Permit<'_, Self>) -> Result<(), Failure> {
        Err(Failure::Invalid("an ended session cannot be brought back".to_owned()))
    }

    /// Sessions come and go while a request waits: what was approved is to end whatever there is.
    fn is_as_planned(planned: &BeforeEnd, found: &BeforeEnd) -> bool {
        planned.oid == found.oid
    }

    fn describe_undo(&self, _: &BeforeEnd) -> String {
        "none: an ended session is gone".to_owned()
    }
}
