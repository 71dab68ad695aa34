//! Ending the sessions of a role.

use std::borrow::Cow;

use remit_backend::Databases;
use remit_backend::databases::{Act, Target};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use remit_trust::SecretBytes;
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

/// Whose sessions they were. Which they were is sealed beside it: sessions come and go while a request waits, and what was approved is
/// to end whatever there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeEnd {
    /// Which role it was, whatever its name.
    pub oid: u32,
}

/// The number of a session's process, and when it began.
type Began = (i32, Option<u64>);

/// The sessions that there were, to tell whether they were ended.
fn recorded(before: &Prepared<BeforeEnd>) -> Result<Vec<Began>, Failure> {
    let sealed = before.secret.as_ref().map(SecretBytes::expose).unwrap_or_default();
    serde_json::from_slice(sealed)
        .map_err(|_| Failure::Invalid("the journal does not hold the sessions that were to end".to_owned()))
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
        let sessions = server.sessions(name).await?;
        let sessions: Vec<Began> = sessions.iter().map(|session| (session.pid, session.since)).collect();
        let Ok(sealed) = serde_json::to_vec(&sessions) else {
            return Err(Failure::Invalid("the sessions cannot be recorded".to_owned()));
        };
        Ok(Prepared { undo: BeforeEnd { oid }, secret: Some(SecretBytes::new(sealed)), irrevocable: None })
    }

    fn rehearse(&self, before: &Prepared<BeforeEnd>, on: &Databases) -> u32 {
        if let Some(played) = on.played(&self.resource) {
            played.end_sessions(name(&self.resource));
        }
        let sessions = recorded(before).map(|sessions| sessions.len()).unwrap_or_default();
        u32::try_from(sessions).unwrap_or(u32::MAX)
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
        let recorded = recorded(before)?;
        let is_there = |was: &Began| found.iter().any(|now| (now.pid, now.since) == *was);
        let left = recorded.iter().filter(|was| is_there(was)).count();
        Ok(if left == 0 {
            State::After
        } else if left == recorded.len() {
            State::Before
        } else {
            State::Other(format!("{left} of {} sessions are still there", recorded.len()))
        })
    }

    async fn undo(_: &Databases, _: Permit<'_, Self>) -> Result<(), Failure> {
        Err(Failure::Invalid("an ended session cannot be brought back".to_owned()))
    }

    fn describe_undo(&self, _: &BeforeEnd) -> String {
        "none: an ended session is gone".to_owned()
    }
}
