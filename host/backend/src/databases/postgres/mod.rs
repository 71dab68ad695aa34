//! `PostgreSQL`, version 14 or newer.
//!
//! Each call has a connection of its own, so that the host's password is read anew and nothing of one call is left for another.
//! Whether a change may happen is asked of the server's catalogue before; the change compares and writes in one transaction.

mod connect;
mod statements;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use remit_gate::{Authority, Failure};
use remit_trust::SecretText;
use ring::digest;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row};

use super::config::DatabaseConfig;
use super::scram::Verifier;
use super::server::{Act, Kept, Role, RoleServer, RoleView, Session, Target, no_role};
use crate::BackendError;
use crate::secrets::{BoxFuture, Right};
use connect::{Purpose, Server, lacks_password, words};

/// As many roles are read.
const MOST_ROLES: usize = 10_000;
/// The oldest version that has all that is asked of it, as its number.
const OLDEST: i32 = 140_000;

/// A server of `PostgreSQL`.
pub struct PostgreSql {
    server: Server,
    /// The table of when roles were used last, quoted.
    last_used: Option<String>,
    superusers: bool,
}

impl PostgreSql {
    /// Checks the settings and reads the CA; does not contact the server. Files are relative to `home`.
    pub fn open(entry: &DatabaseConfig, home: &Path) -> Result<Self, BackendError> {
        let last_used = entry.last_used_table()?;
        Ok(Self { server: Server::open(entry, home)?, last_used, superusers: entry.superusers })
    }

    /// Rows for a query that only looks.
    async fn look(&self, statement: &str, arguments: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        self.server
            .with(Purpose::Look, async |client: Client| {
                client.query(statement, arguments).await.map_err(|error| self.server.failure(&error))
            })
            .await
    }

    async fn roles(&self, name: Option<&str>) -> Result<Vec<Role>, Failure> {
        let server = &self.server;
        let (rows, used) = server
            .with(Purpose::Look, async |client: Client| {
                let rows = client.query(statements::ROLES, &[&name]).await;
                let rows = rows.map_err(|error| server.failure(&error))?;
                let used = match &self.last_used {
                    None => Vec::new(),
                    Some(table) => {
                        let statement = statements::LAST_USED.replace("TABLE", table);
                        // Without it, a role that is in use would seem never to have been used.
                        client.query(&statement, &[&name]).await.map_err(|error| self.no_last_used(&error))?
                    }
                };
                Ok((rows, used))
            })
            .await?;
        if rows.len() > MOST_ROLES {
            return Err(Failure::Unavailable(format!(
                "{} has more than {MOST_ROLES} roles, which is more than the host reads",
                server.shown()
            )));
        }
        let used: HashMap<String, Option<i64>> = used
            .iter()
            .map(|row| Ok((self.get(row, 0)?, self.get(row, 1)?)))
            .collect::<Result<_, Failure>>()?;
        rows.iter().map(|row| self.read_role(row, &used)).collect()
    }

    fn read_role(&self, row: &Row, used: &HashMap<String, Option<i64>>) -> Result<Role, Failure> {
        let name: String = self.get(row, 1)?;
        Ok(Role {
            oid: self.get(row, 0)?,
            can_login: self.get(row, 2)?,
            superuser: self.get(row, 3)?,
            valid_until: self.get::<Option<i64>>(row, 4)?.map(since_epoch),
            groups: self.get(row, 5)?,
            sessions: u32::try_from(self.get::<i64>(row, 6)?).unwrap_or(u32::MAX),
            last_used: used.get(&name).copied().flatten().map(since_epoch),
            name,
        })
    }

    fn no_last_used(&self, error: &tokio_postgres::Error) -> Failure {
        let why = match error.as_db_error() {
            Some(answer) => words(answer),
            None => return self.server.failure(error),
        };
        let table = self.last_used.as_deref().unwrap_or_default();
        Failure::Invalid(format!(
            "{} does not tell when roles were used last: {why}; check `last_used` in remit.toml, and that {table} has the \
             columns `role` and `at`, which `{}` may read",
            self.server.shown(),
            self.server.role()
        ))
    }

    /// A column. That a server has another type there than every `PostgreSQL` would be news.
    fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
        &self,
        row: &'a Row,
        column: usize,
    ) -> Result<T, Failure> {
        row.try_get(column).map_err(|error| self.server.failure(&error))
    }

    async fn right(&self, name: &str, act: Act) -> Result<Right, Failure> {
        let rows = self.look(statements::RIGHTS, &[&name]).await?;
        let row = rows.first().ok_or_else(|| no_role(name, self.server.shown()))?;
        let flag = |column| self.get::<bool>(row, column);
        let (own, its_super) = (flag(3)?, flag(4)?);
        let (is_super, creates, reads) = (flag(0)?, flag(1)?, flag(2)?);
        let modern = self.get::<i32>(row, 8)? >= 160_000;
        let me = self.server.role();
        let lacking = |why: String| Ok(Right::Lacking(why));
        if own {
            return lacking(format!(
                "the host itself signs in as `{name}`, and leaves that role alone: give Remit a role of its own in remit.toml"
            ));
        }
        if its_super && !self.superusers {
            return lacking(format!(
                "`{name}` may do everything on this server, and remit.toml does not say `superusers = true`"
            ));
        }
        if is_super {
            return Ok(Right::Held);
        }
        if act == Act::EndSessions {
            if !its_super && flag(7)? {
                return Ok(Right::Held);
            }
            return lacking(format!(
                "the host's role `{me}` may not end sessions of `{name}`: {}",
                if its_super { "only a superuser may" } else { "grant it pg_signal_backend" }
            ));
        }
        if its_super || !modern && flag(5)? {
            return lacking(format!(
                "only a superuser may change `{name}`, and the host's role `{me}` is none"
            ));
        }
        if !creates {
            return lacking(format!("the host's role `{me}` lacks CREATEROLE"));
        }
        if modern && !flag(6)? {
            return lacking(format!("the host's role `{me}` lacks the admin option on `{name}`"));
        }
        if act == Act::SetPassword && !reads {
            return lacking(format!(
                "the host's role `{me}` may not read pg_authid, without which no password could be put back: grant it SELECT"
            ));
        }
        Ok(Right::Held)
    }

    async fn kept(&self, name: &str) -> Result<Kept, Failure> {
        let rows = self.look(statements::KEPT, &[&name]).await?;
        let row = rows.first().ok_or_else(|| no_role(name, self.server.shown()))?;
        let verifier: Option<String> = self.get(row, 2)?;
        Ok(Kept {
            oid: self.get(row, 0)?,
            row: Some(self.get(row, 1)?),
            verifier: verifier.map(Verifier::new),
        })
    }

    async fn sessions(&self, name: &str) -> Result<Vec<Session>, Failure> {
        let server = &self.server;
        let rows = server
            .with(Purpose::Look, async |client: Client| {
                let failed = |error| server.failure(&error);
                let role = client.query_opt(statements::NUMBER, &[&name]).await.map_err(failed)?;
                let role = role.ok_or_else(|| no_role(name, server.shown()))?;
                let oid: u32 = role.try_get(0).map_err(failed)?;
                client.query(statements::SESSIONS, &[&oid]).await.map_err(failed)
            })
            .await?;
        let session = |row: &Row| {
            Ok(Session {
                pid: self.get(row, 0)?,
                database: self.get(row, 1)?,
                client: self.get(row, 2)?,
                application: self.get(row, 3)?,
                since: self.get::<Option<i64>>(row, 4)?.map(since_epoch),
            })
        };
        rows.iter().map(session).collect()
    }

    async fn opens(&self, name: &str, database: &str, password: &SecretText) -> Result<bool, Failure> {
        let server = &self.server;
        // Where the server asks for no password, every password would seem to be right.
        match server.connect(name, None, database, Purpose::Look).await? {
            Ok(_) => {
                return Err(Failure::Invalid(format!(
                    "{} lets `{name}` in without a password from here, so that nothing can be told of one",
                    server.shown()
                )));
            }
            Err(error) if lacks_password(&error) => {}
            Err(error) => return self.not_opened(&error, name, database),
        }
        match server.connect(name, Some(password), database, Purpose::Look).await? {
            Ok(_) => Ok(true),
            Err(error) => self.not_opened(&error, name, database),
        }
    }

    /// Whether an answer says that the password is wrong or the role may not sign in: anything else says nothing about that.
    fn not_opened(&self, error: &tokio_postgres::Error, name: &str, database: &str) -> Result<bool, Failure> {
        let shown = self.server.shown();
        let Some(answer) = error.as_db_error() else {
            return Err(Failure::Denied(format!("{shown} asked for another password of `{name}`")));
        };
        match *answer.code() {
            SqlState::INVALID_PASSWORD => Ok(false),
            // Others of this code are about where the connection comes from.
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                if answer.routine() == Some("InitializeSessionUserId") =>
            {
                Ok(false)
            }
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Err(Failure::Denied(format!(
                "{shown} does not let `{name}` sign in to `{database}` by a password from here: {}",
                words(answer)
            ))),
            SqlState::INVALID_CATALOG_NAME => Err(no_database(database, shown)),
            SqlState::INSUFFICIENT_PRIVILEGE => Err(may_not_connect(name, database)),
            _ => Err(self.server.failure(error)),
        }
    }

    async fn lets_in(&self, name: &str, database: &str) -> Result<bool, Failure> {
        let rows = self.look(statements::LETS_IN, &[&name, &database]).await?;
        let row = rows.first().ok_or_else(|| no_role(name, self.server.shown()))?;
        match self.get::<Option<bool>>(row, 1)? {
            None => Err(no_database(database, self.server.shown())),
            Some(false) => Err(may_not_connect(name, database)),
            Some(true) => self.get(row, 0),
        }
    }

    /// Runs one of the statements that change a role.
    async fn change(&self, statement: &str, target: Target<'_>, was: &str, to: &str) -> Result<(), Failure> {
        let server = &self.server;
        let (role, oid) = (target.name, target.oid.to_string());
        server
            .with(Purpose::Change, async |client: Client| {
                let failed = |error| server.failure(&error);
                let arguments = [role, &oid, was, to].map(Unseen);
                let arguments: Vec<&(dyn ToSql + Sync)> =
                    arguments.iter().map(|argument| argument as &(dyn ToSql + Sync)).collect();
                client.query_one(statements::ARGUMENTS, &arguments).await.map_err(failed)?;
                client.batch_execute(statement).await.map_err(failed)
            })
            .await
            .map_err(|failure| match failure {
                Failure::Conflict(why) => Failure::Conflict(format!("`{role}`: {why}")),
                other => other,
            })
    }

    async fn end_sessions(&self, target: Target<'_>) -> Result<u32, Failure> {
        let server = &self.server;
        server
            .with(Purpose::Change, async |client: Client| {
                let failed = |error| server.failure(&error);
                let told = client.query(statements::END, &[&target.oid]).await.map_err(failed)?;
                let pids: Vec<i32> =
                    told.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
                let until = Instant::now() + server.timeout();
                loop {
                    let left =
                        client.query_one(statements::LEFT, &[&target.oid, &pids]).await.map_err(failed)?;
                    let left: i64 = left.try_get(0).map_err(failed)?;
                    if left == 0 {
                        return Ok(u32::try_from(pids.len()).unwrap_or(u32::MAX));
                    }
                    if Instant::now() >= until {
                        return Err(Failure::Unavailable(format!(
                            "{left} sessions of `{}` were told to end and have not yet",
                            target.name
                        )));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await
    }

    async fn check(&self) -> Result<String, Failure> {
        let rows = self.look(statements::SELF, &[]).await?;
        let (shown, me) = (self.server.shown(), self.server.role());
        let row = rows.first().ok_or_else(|| no_role(me, shown))?;
        let version: String = self.get(row, 0)?;
        if self.get::<i32>(row, 1)? < OLDEST {
            return Err(Failure::Invalid(format!("{shown} is PostgreSQL {version}; 14 or newer is needed")));
        }
        if self.get::<bool>(row, 2)? {
            return Err(Failure::Unavailable(format!(
                "{shown} is a standby, which takes no changes; give remit.toml the address of the primary"
            )));
        }
        if self.last_used.is_some() {
            self.roles(Some(me)).await?;
        }
        let flag = |column| self.get::<bool>(row, column);
        let (is_super, creates, reads, signals) = (flag(3)?, flag(4)?, flag(5)?, flag(6)?);
        let mut lacks = Vec::new();
        if !is_super && !creates {
            lacks.push("CREATEROLE, without which it changes no role");
        }
        if !is_super && !reads {
            lacks.push("SELECT on pg_authid, without which it sets no password");
        }
        if !is_super && !signals {
            lacks.push(
                "pg_signal_backend, without which it ends only sessions of roles that it is a member of",
            );
        }
        let may = if lacks.is_empty() {
            "may set passwords, disable logins and end sessions".to_owned()
        } else {
            format!("lacks {}", lacks.join("; "))
        };
        let how = if self.server.is_encrypted() { "with TLS" } else { "without TLS" };
        Ok(format!("PostgreSQL {version} at {shown} {how}, where `{me}` {may}"))
    }
}

impl RoleView for PostgreSql {
    fn list(&self) -> BoxFuture<'_, Vec<Role>> {
        Box::pin(self.roles(None))
    }

    fn role<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Role> {
        Box::pin(async move {
            self.roles(Some(name)).await?.pop().ok_or_else(|| no_role(name, self.server.shown()))
        })
    }

    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Kept> {
        Box::pin(self.kept(name))
    }

    fn right<'a>(&'a self, name: &'a str, act: Act) -> BoxFuture<'a, Right> {
        Box::pin(self.right(name, act))
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<Session>> {
        Box::pin(self.sessions(name))
    }

    fn opens<'a>(
        &'a self,
        name: &'a str,
        database: &'a str,
        password: &'a SecretText,
    ) -> BoxFuture<'a, bool> {
        Box::pin(self.opens(name, database, password))
    }

    fn lets_in<'a>(&'a self, name: &'a str, database: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(self.lets_in(name, database))
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(self.check())
    }
}

impl RoleServer for PostgreSql {
    fn set_password<'a>(
        &'a self,
        target: Target<'a>,
        was: Option<&'a Verifier>,
        to: Option<&'a Verifier>,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        tracing::info!(operation = by.operation(), role = target.name, "PostgreSQL sets a password");
        Box::pin(async move {
            let was = was.map(|was| hex::encode(digest::digest(&digest::SHA256, was.expose().as_bytes())));
            let to = to.map(Verifier::expose).unwrap_or_default();
            self.change(statements::SET_PASSWORD, target, was.as_deref().unwrap_or_default(), to).await
        })
    }

    fn set_login<'a>(&'a self, target: Target<'a>, to: bool, by: Authority<'a>) -> BoxFuture<'a, ()> {
        tracing::info!(operation = by.operation(), role = target.name, to, "PostgreSQL sets who may sign in");
        Box::pin(self.change(statements::SET_LOGIN, target, "", if to { "LOGIN" } else { "NOLOGIN" }))
    }

    fn end_sessions<'a>(&'a self, target: Target<'a>, by: Authority<'a>) -> BoxFuture<'a, u32> {
        tracing::info!(operation = by.operation(), role = target.name, "PostgreSQL ends sessions");
        Box::pin(self.end_sessions(target))
    }
}

impl fmt::Debug for PostgreSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSql({})", self.server.shown())
    }
}

/// An argument that the client's own log does not show.
struct Unseen<'a>(&'a str);

impl ToSql for Unseen<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl fmt::Debug for Unseen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

fn no_database(database: &str, server: &str) -> Failure {
    Failure::NotFound(format!("{server} has no database `{database}`"))
}

fn may_not_connect(role: &str, database: &str) -> Failure {
    Failure::Invalid(format!("`{role}` may not connect to the database `{database}`, whatever its password"))
}

/// Milliseconds; what is before 1970 is 1970.
fn since_epoch(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds).unwrap_or(0)
}
