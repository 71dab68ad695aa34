//! `remit:databases`: powers over the roles of database servers, each an interface of its own.

mod argument;
mod bindings;
mod check;
mod end;
mod inspect;
mod login;
mod password;
mod systems;

use remit_backend::databases::KIND;

use crate::domain::{Domain, SystemsOf, interfaces};
pub use bindings::remit::databases as wit;
pub use check::CheckLogin;
pub use end::{BeforeEnd, EndSessions};
pub use inspect::{Get, List, Sessions};
pub use login::{BeforeLogin, DisableLogin};
pub use password::{BeforePassword, SetPassword};

/// The `remit:databases` domain.
pub(crate) static DOMAIN: Domain = Domain {
    name: "databases",
    interfaces: INTERFACES,
    systems: Some(&SystemsOf::<remit_backend::Databases>::NEW),
};

interfaces! {
    "remit:databases/inspect" "0.1.0" on KIND [observe Get, observe List] by wit::inspect:
        "sees which roles a database server has and what they may do, never a password";
    "remit:databases/password" "0.1.0" on KIND [change SetPassword] by wit::password:
        "gives a role a password that was given sealed or generated, and that it never sees; whoever still uses the old one is locked out";
    "remit:databases/disable-login" "0.1.0" on KIND [change DisableLogin] by wit::disable_login:
        "keeps a role from signing in until that is undone";
    "remit:databases/sessions" "0.1.0" on KIND [observe Sessions] by wit::sessions:
        "sees which sessions a role has and where they come from, never what they do";
    "remit:databases/end-sessions" "0.1.0" on KIND [change EndSessions] by wit::end_sessions:
        "ends the sessions of a role, with whatever they are in the middle of";
    "remit:databases/check-login" "0.1.0" on KIND [observe CheckLogin] by wit::check_login:
        "finds out whether a value is the password of a role, by signing in; who chooses that value can test a guess";
}
