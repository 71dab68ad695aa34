//! Databases: servers with roles that sign in.

mod config;
mod made_up;
mod played;
mod postgres;
mod router;
mod scram;
mod server;

pub use config::DatabaseConfig;
pub use made_up::{MadeUp, MadeUpRole};
pub use postgres::PostgreSql;
pub use router::Databases;
pub use scram::Verifier;
pub use server::{Act, KIND, Kept, Role, RoleServer, RoleView, Session, Target};
