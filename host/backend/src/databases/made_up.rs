//! A server that is not there: in memory, for offline tests of actions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_gate::{Authority, Failure};
use remit_trust::SecretText;

use super::scram::Verifier;
use super::server::{Act, Kept, Role, RoleServer, RoleView, Session, Target, no_role};
use crate::secrets::{BoxFuture, Right};

/// One role of a made-up server.
#[derive(Clone, Debug)]
pub struct MadeUpRole {
    /// What can be seen of it.
    pub role: Role,
    /// What its password is checked with; none if it has none.
    pub verifier: Option<Verifier>,
}

/// A server in memory. It has every database, and the host may do everything there, but to superusers.
#[derive(Debug, Default)]
pub struct MadeUp {
    roles: Mutex<BTreeMap<String, Known>>,
    /// The highest number that a role ever had.
    numbers: AtomicU32,
}

/// A role with every verifier that it had: the number of the present one is the state of the role.
#[derive(Clone, Debug)]
struct Known {
    made: MadeUpRole,
    verifiers: Vec<Option<Verifier>>,
}

impl Known {
    fn new(made: MadeUpRole) -> Self {
        let verifiers = vec![made.verifier.clone()];
        Self { made, verifiers }
    }
}

impl MadeUp {
    /// [`Kept::row`] of a role with the password that it had at first.
    pub const FIRST: &str = "0";

    /// A server with these roles, whose numbers it gives them.
    #[must_use]
    pub fn new(roles: Vec<MadeUpRole>) -> Self {
        let server = Self::default();
        for role in roles {
            server.make_role(role);
        }
        server
    }

    fn roles(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<Known, Failure> {
        self.roles().get(name).cloned().ok_or_else(|| no_role(name, "the server"))
    }

    fn change<T>(
        &self,
        target: Target<'_>,
        change: impl FnOnce(&mut MadeUpRole) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut roles = self.roles();
        match roles.get_mut(target.name).filter(|known| known.made.role.oid == target.oid) {
            None => Err(Failure::Conflict(format!("`{}`: the role that it was is gone", target.name))),
            Some(Known { made, verifiers }) => {
                let done = change(made)?;
                if !verifiers.contains(&made.verifier) {
                    verifiers.push(made.verifier.clone());
                }
                Ok(done)
            }
        }
    }

    /// Drops a role, as somebody else would.
    pub fn drop_role(&self, name: &str) {
        self.roles().remove(name);
    }

    /// Makes a role, or makes it anew, as somebody else would.
    pub fn make_role(&self, mut made: MadeUpRole) {
        made.role.oid = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        self.roles().insert(made.role.name.clone(), Known::new(made));
    }

    /// Changes a role, as somebody else would.
    pub fn change_role(&self, made: MadeUpRole) {
        if let Some(known) = self.roles().get_mut(&made.role.name) {
            known.made = made;
        }
    }

    /// What there is of a role, to compare.
    #[must_use]
    pub fn made(&self, name: &str) -> Option<MadeUpRole> {
        self.roles().get(name).map(|known| known.made.clone())
    }
}

impl RoleView for MadeUp {
    fn list(&self) -> BoxFuture<'_, Vec<Role>> {
        Box::pin(async move { Ok(self.roles().values().map(|known| known.made.role.clone()).collect()) })
    }

    fn role<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Role> {
        Box::pin(async move { Ok(self.find(name)?.made.role) })
    }

    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Kept> {
        Box::pin(async move {
            let Known { made, verifiers } = self.find(name)?;
            let row = verifiers.iter().position(|one| *one == made.verifier).unwrap_or(verifiers.len());
            Ok(Kept { oid: made.role.oid, row: Some(row.to_string()), verifier: made.verifier })
        })
    }

    fn right<'a>(&'a self, name: &'a str, _: Act) -> BoxFuture<'a, Right> {
        Box::pin(async move {
            Ok(if self.find(name)?.made.role.superuser {
                Right::Lacking(format!(
                    "`{name}` may do everything on this server, and remit.toml does not say `superusers = true`"
                ))
            } else {
                Right::Held
            })
        })
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<Session>> {
        Box::pin(async move {
            let session = |pid| Session {
                pid,
                database: Some(name.to_owned()),
                client: None,
                application: String::new(),
                since: Some(0),
            };
            Ok((1..).take(self.find(name)?.made.role.sessions as usize).map(session).collect())
        })
    }

    fn opens<'a>(&'a self, name: &'a str, _: &'a str, password: &'a SecretText) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let made = self.find(name)?.made;
            let opens = made.verifier.and_then(|verifier| verifier.opens(password));
            Ok(made.role.can_login && opens == Some(true))
        })
    }

    fn lets_in<'a>(&'a self, name: &'a str, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { Ok(self.find(name)?.made.role.can_login) })
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(async move { Ok("a made-up server".to_owned()) })
    }
}

impl RoleServer for MadeUp {
    fn set_password<'a>(
        &'a self,
        target: Target<'a>,
        was: Option<&'a Verifier>,
        to: Option<&'a Verifier>,
        _: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.change(target, |made| {
                if made.verifier.as_ref() != was {
                    let name = target.name;
                    return Err(Failure::Conflict(format!("`{name}`: somebody else set its password")));
                }
                made.verifier = to.cloned();
                Ok(())
            })
        })
    }

    fn set_login<'a>(&'a self, target: Target<'a>, to: bool, _: Authority<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.change(target, |made| {
                if made.role.can_login == to {
                    return Err(Failure::Conflict(format!(
                        "`{}`: somebody else changed whether it may sign in",
                        target.name
                    )));
                }
                made.role.can_login = to;
                Ok(())
            })
        })
    }

    fn end_sessions<'a>(&'a self, target: Target<'a>, _: Authority<'a>) -> BoxFuture<'a, u32> {
        Box::pin(async move { self.change(target, |made| Ok(std::mem::take(&mut made.role.sessions))) })
    }
}
