//! What a server with roles can do.

use remit_gate::{Authority, Failure};
use remit_trust::SecretText;
use serde::{Deserialize, Serialize};

use super::scram::Verifier;
use crate::secrets::{BoxFuture, Right};

/// The kind of every resource served here: `database-role:main/app`.
pub const KIND: &str = "database-role";

/// One role, without its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Which role it is, whatever its name: a role that is dropped and made anew has another number. It is neither returned to an
    /// action nor recorded in the outcome.
    #[serde(skip)]
    pub oid: u32,
    /// Its name, as the server has it.
    pub name: String,
    /// Whether it may sign in.
    pub can_login: bool,
    /// Whether it may do everything on this server.
    pub superuser: bool,
    /// The roles that it is a direct member of, in order.
    pub groups: Vec<String>,
    /// When its password stops working by itself, in milliseconds since the Unix epoch.
    pub valid_until: Option<u64>,
    /// How many sessions it has now.
    pub sessions: u32,
    /// When it was used last, if something that the operator keeps says so; in milliseconds since the Unix epoch.
    pub last_used: Option<u64>,
}

/// The password of a role, as the server keeps it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which role it is, see [`Role::oid`].
    pub oid: u32,
    /// Which state of the role it is: text of the server's, only ever compared. None in a rehearsal that changed the role.
    pub row: Option<String>,
    /// What the server checks passwords with; none if the role has no password.
    pub verifier: Option<Verifier>,
}

/// One session of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The number of its process on the server. Neither returned to an action nor recorded in the outcome.
    #[serde(skip)]
    pub pid: i32,
    /// The database that it is in, if the host may see it.
    pub database: Option<String>,
    /// The address that it came from, if it is from another machine and the host may see it.
    pub client: Option<String>,
    /// What the program says that it is.
    pub application: String,
    /// When it began, if the host may see it; in milliseconds since the Unix epoch.
    pub since: Option<u64>,
}

/// Something that the host may need a right of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To set a password, and to read what the server keeps of the one before.
    SetPassword,
    /// To let a role sign in, or not.
    SetLogin,
    /// To end sessions.
    EndSessions,
}

/// A role that is to be changed, and which one it has to be.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The name of the role.
    pub name: &'a str,
    /// What [`Role::oid`] was.
    pub oid: u32,
}

/// What can be seen of a server with roles. Nothing here changes anything: a rehearsal is given this, and no [`RoleServer`].
///
/// Every method may fail with `Denied` (the host's own role may not do this), `NotFound` (there is no such role) or
/// `Unavailable`, besides what it says itself.
pub trait RoleView: Send + Sync {
    /// The roles, in the order of their names, without those that the server itself defines.
    fn list(&self) -> BoxFuture<'_, Vec<Role>>;

    /// One role.
    fn role<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Role>;

    /// What the server keeps of a role's password: secret material.
    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Kept>;

    /// Whether the host itself may do this to a role: what it could not take back is not begun.
    fn right<'a>(&'a self, name: &'a str, act: Act) -> BoxFuture<'a, Right>;

    /// The sessions of a role, the oldest first.
    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<Session>>;

    /// Whether a role can sign in to a database with this password, by trying it. `NotFound` if there is no such role or
    /// database; `Invalid` if the server asks for no password, or does not let this role into this database whatever it is.
    fn opens<'a>(&'a self, name: &'a str, database: &'a str, password: &'a SecretText)
    -> BoxFuture<'a, bool>;

    /// What of [`RoleView::opens`] can be told without a password: fails as that does, or says whether the role may sign in.
    fn lets_in<'a>(&'a self, name: &'a str, database: &'a str) -> BoxFuture<'a, bool>;

    /// Whether the server can be used right now; says what it is and what the host may do, in a line for a person.
    fn check(&self) -> BoxFuture<'_, String>;
}

/// A server with roles.
///
/// Every change compares in one step with it: `Conflict` if the role is another one than [`Target`] says, or not in the state
/// that is expected. After `Unavailable` the change may have happened.
pub trait RoleServer: RoleView {
    /// Replaces what the server keeps of a password, `was`, by `to`; none is no password.
    fn set_password<'a>(
        &'a self,
        target: Target<'a>,
        was: Option<&'a Verifier>,
        to: Option<&'a Verifier>,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()>;

    /// Lets a role sign in that may not, or the other way round.
    fn set_login<'a>(&'a self, target: Target<'a>, to: bool, by: Authority<'a>) -> BoxFuture<'a, ()>;

    /// Ends every session that the role has, and waits until they are gone; answers how many there were.
    fn end_sessions<'a>(&'a self, target: Target<'a>, by: Authority<'a>) -> BoxFuture<'a, u32>;
}

/// What there is not.
pub(super) fn no_role(name: &str, server: &str) -> Failure {
    Failure::NotFound(format!("{server} has no role `{name}`"))
}
