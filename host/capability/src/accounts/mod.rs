//! `remit:accounts` by the host itself: directories, and the roles of database servers.
//!
//! What serves an account is told by the first segment of its path, whether that is a connector or the host. So a system of the host
//! is a [`Connector`] too, without a component: see docs/decisions/018.

mod directory;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use remit_backend::accounts::{AccountsConfig, KIND, Serving};
use remit_backend::{BackendError, DatabaseConfig};
use remit_engine::Signatures;
use remit_gate::{Authority, Countermeasure, Effect, Failure, Prepared, State};
use remit_journal::{ActionRef, ConnectedInterface, ConnectorRef};
use remit_trust::{Digest, canonical};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::connected::{Boxed, Call, Connector, Facts, Found, Played};
use directory::LdapAccounts;
use roles::Roles;

const INSPECT: &str = "remit:accounts/inspect@0.1.0";
const DISABLE: &str = "remit:accounts/disable@0.1.0";
const END_SESSIONS: &str = "remit:accounts/end-sessions@0.1.0";

/// The operations, without the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Get,
    List,
    Disable,
    EndSessions,
}

impl Function {
    fn of(operation: &str) -> Option<Self> {
        Some(match operation {
            "remit:accounts/inspect.get" => Self::Get,
            "remit:accounts/inspect.list" => Self::List,
            "remit:accounts/disable.disable" => Self::Disable,
            "remit:accounts/end-sessions.end-sessions" => Self::EndSessions,
            _ => return None,
        })
    }

    fn effect(self) -> Effect {
        match self {
            Self::Get | Self::List => Effect::Observe,
            Self::Disable => Effect::Change,
            Self::EndSessions => Effect::Irrevocable,
        }
    }
}

/// The accounts of one system of `[[accounts]]`.
pub struct Accounts {
    reference: ConnectorRef,
    interfaces: BTreeMap<String, Signatures>,
    system: System,
}

enum System {
    Directory(Box<LdapAccounts>),
    Roles(Roles),
}

/// An account, as both kinds of system tell it.
struct Shown {
    /// What follows the name of the system in its path.
    path: String,
    name: String,
    enabled: bool,
    groups: Vec<String>,
    created: Option<u64>,
    last_used: Option<u64>,
}

impl Accounts {
    /// Opens the system of an entry, and contacts nobody. `wit` has the interfaces of this host; files are relative to `home`.
    pub fn open(
        entry: &AccountsConfig,
        databases: &[DatabaseConfig],
        home: &Path,
        wit: impl Fn(&str) -> Option<Signatures>,
    ) -> Result<Self, BackendError> {
        let opened = Self::open_it(entry, databases, home, wit);
        opened.map_err(|problem| BackendError::Entry {
            section: AccountsConfig::SECTION,
            entry: entry.name.clone(),
            problem: Box::new(problem),
        })
    }

    fn open_it(
        entry: &AccountsConfig,
        databases: &[DatabaseConfig],
        home: &Path,
        wit: impl Fn(&str) -> Option<Signatures>,
    ) -> Result<Self, BackendError> {
        entry.check()?;
        let (what, origin, system, names) = match &entry.serving {
            Serving::OpenLdap(config) | Serving::ActiveDirectory(config) => {
                let what = if matches!(entry.serving, Serving::OpenLdap(_)) {
                    "openldap"
                } else {
                    "active-directory"
                };
                let system = System::Directory(Box::new(LdapAccounts::open(entry, home)?));
                (what, config.address.clone(), system, &[INSPECT, DISABLE][..])
            }
            Serving::Roles(config) => {
                let server = databases.iter().find(|server| server.name == config.server);
                let server = server.ok_or_else(|| BackendError::Setting {
                    setting: "server",
                    why: format!("there is no [[databases]] with the name `{}`", config.server),
                })?;
                let origin = format!("postgresql://{}:{}", server.address, server.port);
                let system = System::Roles(Roles::open(server, home)?);
                ("postgresql-roles", origin, system, &[INSPECT, DISABLE, END_SESSIONS][..])
            }
        };
        let interfaces: BTreeMap<_, _> =
            names.iter().filter_map(|name| Some(((*name).to_owned(), wit(name)?))).collect();
        let config = canonical(&entry.identity()).unwrap_or_default();
        let reference = ConnectorRef {
            instance: entry.name.clone(),
            component: ActionRef {
                // There is no component: what is the same is how the host does it.
                digest: Digest::of(format!("remit:accounts {what} 1").as_bytes()),
                name: what.to_owned(),
                version: "0.1.0".to_owned(),
            },
            publisher: String::new(),
            origin,
            config: Digest::of(&config),
            interfaces: interfaces.iter().map(|(name, functions)| told(name, functions)).collect(),
        };
        Ok(Self { reference, interfaces, system })
    }

    /// Whether the system can be used right now; in a line for a person.
    pub async fn check(&self) -> Result<String, Failure> {
        match &self.system {
            System::Directory(directory) => directory.check().await,
            System::Roles(roles) => roles.check().await,
        }
    }

    /// What follows the name of the system in a path.
    fn rest<'c>(&self, call: &'c Call) -> Option<&'c str> {
        call.resource.path().strip_prefix(self.reference.instance.as_str())?.strip_prefix('/')
    }

    /// The account of a call.
    fn account<'c>(&self, call: &'c Call) -> Result<&'c str, Failure> {
        self.rest(call).ok_or_else(|| {
            Failure::Invalid(format!(
                "an account is named by its system and its name, such as {}/alice",
                self.reference.instance
            ))
        })
    }

    fn value(&self, shown: Shown, disabled: &BTreeSet<String>) -> Value {
        let Shown { path, name, enabled, groups, created, last_used } = shown;
        let path = format!("{}/{path}", self.reference.instance);
        let state = if enabled && !disabled.contains(&path) { "enabled" } else { "disabled" };
        // 64-bit integers are texts in JSON.
        let time = |time: Option<u64>| time.map(|time| time.to_string());
        json!({
            "path": path, "name": name, "state": state, "groups": groups,
            "created": time(created), "last-used": time(last_used),
        })
    }

    async fn look(&self, call: &Call, played: &[Played]) -> Result<Value, Failure> {
        let disabled = disabled(played);
        match (function(call)?, &self.system) {
            (Function::Get, system) => {
                let name = self.account(call)?;
                let shown = match system {
                    System::Directory(directory) => directory.account(name).await?,
                    System::Roles(roles) => roles.account(name).await?,
                };
                Ok(self.value(shown, &disabled))
            }
            (Function::List, system) => {
                if self.rest(call).is_some() {
                    return Err(Failure::Invalid(format!(
                        "the place of all accounts is `{}`, and there is none below it",
                        self.reference.instance
                    )));
                }
                let all = match system {
                    System::Directory(directory) => directory.list().await?,
                    System::Roles(roles) => roles.list().await?,
                };
                Ok(all.into_iter().map(|shown| self.value(shown, &disabled)).collect())
            }
            _ => Err(unknown(call)),
        }
    }

    async fn find(&self, call: &Call, played: &[Played]) -> Result<Prepared<Found>, Failure> {
        let name = self.account(call)?;
        if function(call)? == Function::Disable && disabled(played).contains(call.resource.path()) {
            return Err(Failure::Conflict(format!("{} is disabled already", call.resource)));
        }
        match (function(call)?, &self.system) {
            (Function::Disable, System::Directory(directory)) => directory.before(name).await,
            (Function::Disable, System::Roles(roles)) => roles.before_disabling(name).await,
            (Function::EndSessions, System::Roles(roles)) => {
                let ended = played.iter().any(|one| {
                    one.operation == call.operation && path(one).as_deref() == Some(call.resource.path())
                });
                roles.before_ending(name, ended).await
            }
            _ => Err(unknown(call)),
        }
    }

    async fn make(&self, call: &Call, before: &Prepared<Found>, by: Authority<'_>) -> Result<Value, Failure> {
        let name = self.account(call)?;
        match (function(call)?, &self.system) {
            (Function::Disable, System::Directory(directory)) => {
                directory.disable(before, by).await?;
                Ok(Value::Null)
            }
            (Function::Disable, System::Roles(roles)) => {
                roles.set_login(name, before, false, by).await?;
                Ok(Value::Null)
            }
            (Function::EndSessions, System::Roles(roles)) => {
                roles.end_sessions(name, before, by).await.map(Value::from)
            }
            _ => Err(unknown(call)),
        }
    }

    async fn compare(&self, call: &Call, before: &Prepared<Found>) -> Result<State, Failure> {
        let name = self.account(call)?;
        match (function(call)?, &self.system) {
            (Function::Disable, System::Directory(directory)) => directory.state(before).await,
            (Function::Disable, System::Roles(roles)) => roles.state_of_login(name, before).await,
            (Function::EndSessions, System::Roles(roles)) => roles.state_of_sessions(name, before).await,
            _ => Err(unknown(call)),
        }
    }

    async fn take_back(
        &self,
        call: &Call,
        before: &Prepared<Found>,
        by: Authority<'_>,
    ) -> Result<(), Failure> {
        match (function(call)?, &self.system) {
            (Function::Disable, System::Directory(directory)) => directory.enable(before, by).await,
            (Function::Disable, System::Roles(roles)) => {
                roles.set_login(self.account(call)?, before, true, by).await
            }
            _ => Err(Failure::Invalid(format!("{} cannot be taken back", call.operation))),
        }
    }
}

fn function(call: &Call) -> Result<Function, Failure> {
    Function::of(&call.operation).ok_or_else(|| unknown(call))
}

fn unknown(call: &Call) -> Failure {
    Failure::Invalid(format!("this system has no {}", call.operation))
}

/// The path that a change of a rehearsal was about.
fn path(played: &Played) -> Option<String> {
    #[derive(Deserialize)]
    struct Arguments {
        path: String,
    }
    serde_json::from_str::<Arguments>(played.arguments.get()).ok().map(|arguments| arguments.path)
}

/// The accounts that a rehearsal disabled.
fn disabled(played: &[Played]) -> BTreeSet<String> {
    let disables = |one: &&Played| Function::of(&one.operation) == Some(Function::Disable);
    played.iter().filter(disables).filter_map(path).collect()
}

/// One interface, as requests and records name it.
fn told(name: &str, functions: &Signatures) -> ConnectedInterface {
    let plain = name.split('@').next().unwrap_or(name);
    let known = |function: &String| Function::of(&format!("{plain}.{function}"));
    let mut effects: Vec<Effect> = functions.0.keys().filter_map(known).map(Function::effect).collect();
    effects.dedup();
    ConnectedInterface { name: name.to_owned(), kind: KIND.to_owned(), effects, sealed: BTreeMap::new() }
}

/// What was written down before a change.
fn written<T: for<'de> Deserialize<'de>>(before: &Prepared<Found>) -> Result<T, Failure> {
    serde_json::from_value(before.undo.undo.clone())
        .map_err(|why| Failure::Invalid(format!("the journal does not hold what this change found: {why}")))
}

impl Connector for Accounts {
    fn reference(&self) -> &ConnectorRef {
        &self.reference
    }

    fn interfaces(&self) -> &BTreeMap<String, Signatures> {
        &self.interfaces
    }

    fn function(&self, operation: &str) -> Option<Facts<'_>> {
        let function = Function::of(operation)?;
        let (countermeasure, irrevocable_because) = match function {
            Function::Get | Function::List => (None, None),
            Function::Disable => (Some(Countermeasure::Isolate), None),
            Function::EndSessions => (
                Some(Countermeasure::Evict),
                Some("an ended session is gone, with what it was in the middle of"),
            ),
        };
        Some(Facts {
            effect: function.effect(),
            kind: KIND,
            irrevocable_because,
            sealed: &[],
            countermeasure,
            compares: true,
        })
    }

    fn observe<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Value> {
        Box::pin(async move { self.look(call, &played).await })
    }

    fn prepare<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Prepared<Found>> {
        Box::pin(async move { self.find(call, &played).await })
    }

    fn perform<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        by: Authority<'a>,
    ) -> Boxed<'a, Value> {
        Box::pin(self.make(call, before, by))
    }

    fn state<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        _: Option<&'a RawValue>,
    ) -> Boxed<'a, State> {
        Box::pin(self.compare(call, before))
    }

    fn undo<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        _: Option<&'a RawValue>,
        by: Authority<'a>,
    ) -> Boxed<'a, ()> {
        Box::pin(self.take_back(call, before, by))
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({} at {})", self.reference.instance, self.reference.origin)
    }
}
