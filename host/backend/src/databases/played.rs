//! What a rehearsal believes to have changed of roles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_gate::Failure;
use remit_trust::SecretText;

use super::scram::Verifier;
use super::server::{Act, Kept, Role, RoleView, Session};
use crate::secrets::{BoxFuture, Right};

/// A server as one rehearsal sees it: the live one, but for what the rehearsal has changed. It can look at the live server and has
/// no way to change it.
pub struct Played {
    live: Arc<dyn RoleView>,
    scene: Mutex<BTreeMap<String, Changed>>,
}

/// What the rehearsal changed of one role.
#[derive(Clone, Default)]
struct Changed {
    verifier: Option<Verifier>,
    login: Option<bool>,
    ended: bool,
}

impl Played {
    pub(super) fn new(live: Arc<dyn RoleView>) -> Self {
        Self { live, scene: Mutex::default() }
    }

    /// The same server for another rehearsal.
    pub(super) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.live))
    }

    /// Plays another password.
    pub fn set_password(&self, name: &str, to: Verifier) {
        self.change(name, |changed| changed.verifier = Some(to));
    }

    /// Plays that a role may sign in, or not.
    pub fn set_login(&self, name: &str, to: bool) {
        self.change(name, |changed| changed.login = Some(to));
    }

    /// Plays the end of all sessions.
    pub fn end_sessions(&self, name: &str) {
        self.change(name, |changed| changed.ended = true);
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Changed)) {
        change(self.scene().entry(name.to_owned()).or_default());
    }

    fn scene(&self) -> MutexGuard<'_, BTreeMap<String, Changed>> {
        // A map that is whole after a panic elsewhere.
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, name: &str) -> Option<Changed> {
        self.scene().get(name).cloned()
    }

    fn as_changed(&self, mut role: Role) -> Role {
        if let Some(Changed { login, ended, .. }) = self.changed(&role.name) {
            role.can_login = login.unwrap_or(role.can_login);
            if ended {
                role.sessions = 0;
            }
        }
        role
    }
}

impl RoleView for Played {
    fn list(&self) -> BoxFuture<'_, Vec<Role>> {
        Box::pin(async move {
            Ok(self.live.list().await?.into_iter().map(|role| self.as_changed(role)).collect())
        })
    }

    fn role<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Role> {
        Box::pin(async move { Ok(self.as_changed(self.live.role(name).await?)) })
    }

    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Kept> {
        Box::pin(async move {
            let kept = self.live.kept(name).await?;
            Ok(match self.changed(name) {
                None => kept,
                Some(Changed { verifier, .. }) => {
                    Kept { oid: kept.oid, row: None, verifier: verifier.or(kept.verifier) }
                }
            })
        })
    }

    fn right<'a>(&'a self, name: &'a str, act: Act) -> BoxFuture<'a, Right> {
        self.live.right(name, act)
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<Session>> {
        Box::pin(async move {
            let sessions = self.live.sessions(name).await?;
            Ok(if self.changed(name).is_some_and(|changed| changed.ended) { Vec::new() } else { sessions })
        })
    }

    fn opens<'a>(
        &'a self,
        name: &'a str,
        database: &'a str,
        password: &'a SecretText,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(Changed { verifier, login, .. }) = self.changed(name) else {
                return self.live.opens(name, database, password).await;
            };
            let Some(verifier) = verifier else {
                // It is the live password; only whether the role may sign in can be another matter.
                let opens = self.live.opens(name, database, password).await?;
                return Ok(opens && login != Some(false));
            };
            let lets_in = self.live.lets_in(name, database).await?;
            let opens = verifier.opens(password).ok_or_else(|| {
                Failure::Invalid("a rehearsal can tell a password only by a verifier of its own".to_owned())
            })?;
            Ok(opens && login.unwrap_or(lets_in))
        })
    }

    fn lets_in<'a>(&'a self, name: &'a str, database: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let lets_in = self.live.lets_in(name, database).await?;
            Ok(self.changed(name).and_then(|changed| changed.login).unwrap_or(lets_in))
        })
    }

    fn check(&self) -> BoxFuture<'_, String> {
        self.live.check()
    }
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Played({:?})", self.scene().keys())
    }
}
