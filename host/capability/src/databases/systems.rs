//! Database servers: how runs reach them, and how offline tests make them up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use remit_backend::databases::{KIND, MadeUp, MadeUpRole, Role, RoleServer, Verifier};
use remit_backend::{BackendError, Databases, Generator, SecretText};
use remit_gate::{Estate, Failure, Mode, Resource, Scope};
use serde::{Deserialize, Serialize};

use super::argument::name;
use crate::fixture::{Misstated, Offline};

/// A role of a made-up server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    path: String,
    /// Whether it may sign in.
    #[serde(default = "yes")]
    login: bool,
    /// Whether it may do everything on its server.
    #[serde(default)]
    superuser: bool,
    /// The roles that it is a direct member of.
    #[serde(default)]
    groups: Vec<String>,
    /// How many sessions it has.
    #[serde(default)]
    sessions: u32,
    /// When it was used last, in milliseconds since the Unix epoch.
    last_used: Option<u64>,
    /// A made-up password; without it the host makes one.
    password: Option<String>,
}

fn yes() -> bool {
    true
}

/// What a fixture expects of a role after the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    path: String,
    /// Whether it may sign in.
    login: bool,
    /// How many sessions it has.
    #[serde(default, skip_serializing_if = "none")]
    sessions: u32,
    /// What became of its password.
    password: Password,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn none(sessions: &u32) -> bool {
    *sessions == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Password {
    /// It is what it was before.
    Kept,
    /// It is another one.
    Changed,
    /// There is no such role.
    NoRole,
}

impl Offline for Databases {
    const TABLE: &'static str = KIND;
    type Before = Before;
    type After = After;

    /// A rehearsal looks at the servers and plays its changes.
    fn serve(self, estate: Estate) -> Estate {
        estate.with_per_run(self, |databases: &Databases, _: &Scope, mode: Mode| {
            Some(match mode {
                Mode::Rehearse => databases.for_rehearsal(),
                Mode::Live => databases.for_run(),
            })
        })
    }

    fn path_before(before: &Before) -> &str {
        &before.path
    }

    fn path_after(after: &After) -> &str {
        &after.path
    }

    fn no_path(path: &str) -> Option<String> {
        match Resource::new(KIND, path) {
            Err(error) => Some(error.to_string()),
            Ok(_) if path.split('/').count() != 2 => {
                Some(format!("`{path}` is no role: write SERVER/ROLE, such as main/app"))
            }
            Ok(_) => None,
        }
    }

    fn mistakes(before: &[Before]) -> Vec<Misstated> {
        let empty = before.iter().enumerate().filter(|(_, role)| role.password.as_deref() == Some(""));
        let why = "an empty password is none: leave the key out, and the host makes one";
        empty.map(|(at, _)| Misstated { at, key: "password", why: why.to_owned() }).collect()
    }

    async fn make_up(before: &[Before], _: &Path) -> Result<Databases, Failure> {
        let mut servers: BTreeMap<&str, Vec<MadeUpRole>> = BTreeMap::new();
        for role in before {
            let (server, name) = role.path.split_once('/').unwrap_or((&role.path, ""));
            let password = match &role.password {
                Some(password) => SecretText::new(password.clone()),
                None => Generator::default().generate()?,
            };
            servers.entry(server).or_default().push(MadeUpRole {
                role: Role {
                    oid: 0,
                    name: name.to_owned(),
                    can_login: role.login,
                    superuser: role.superuser,
                    groups: role.groups.clone(),
                    valid_until: None,
                    sessions: role.sessions,
                    last_used: role.last_used,
                },
                verifier: Some(Verifier::of(&password)?),
            });
        }
        let servers = servers
            .into_iter()
            .map(|(server, roles)| (server.to_owned(), Arc::new(MadeUp::new(roles)) as Arc<dyn RoleServer>));
        let broken = |error: BackendError| Failure::Unavailable(error.to_string());
        Databases::new(servers.collect()).map_err(broken)
    }

    async fn look(&self, path: &str) -> Result<After, Failure> {
        let resource = Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))?;
        let path = path.to_owned();
        let found = match self.at(&resource) {
            Ok(server) => server.role(name(&resource)).await,
            Err(failure) => Err(failure),
        };
        let role = match found {
            Err(Failure::NotFound(_)) => {
                return Ok(After { path, login: false, sessions: 0, password: Password::NoRole });
            }
            found => found?,
        };
        let kept = self.at(&resource)?.kept(name(&resource)).await?;
        let is_first = kept.row.as_deref() == Some(MadeUp::FIRST);
        let password = if is_first { Password::Kept } else { Password::Changed };
        Ok(After { path, login: role.can_login, sessions: role.sessions, password })
    }

    fn words(after: &After) -> String {
        let mut words = match (after.password, after.login) {
            (Password::NoRole, _) => return "no such role".to_owned(),
            (_, true) => "may sign in".to_owned(),
            (_, false) => "may not sign in".to_owned(),
        };
        let _ = write!(words, ", {} sessions", after.sessions);
        words.push_str(if after.password == Password::Kept {
            ", its password"
        } else {
            ", another password"
        });
        words
    }
}
