//! Connections to a server, each for one call, and what its errors mean.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remit_gate::Failure;
use remit_trust::SecretText;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::BackendError;
use crate::databases::DatabaseConfig;

/// The code of the errors that this module's own statements raise: somebody else was faster.
pub(super) const CONFLICT: &str = "RMT01";

/// Whether a connection is to change something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Look,
    Change,
}

/// How one server is reached.
pub(super) struct Server {
    config: Config,
    /// None where the connection stays on this machine, or the operator said that it may be plain.
    tls: Option<MakeRustlsConnect>,
    role: String,
    password_file: Option<PathBuf>,
    database: String,
    timeout: Duration,
    /// For a person: `db.example.org:5432`.
    shown: String,
}

impl Server {
    pub(super) fn open(entry: &DatabaseConfig, home: &Path) -> Result<Self, BackendError> {
        entry.check()?;
        let ca_file = entry.ca_file.as_deref().map(|file| home.join(file));
        let tls = entry
            .encrypts()?
            .then(|| crate::tls::client(ca_file.as_deref()).map(MakeRustlsConnect::new))
            .transpose()?;
        // The entry was checked: it is more than nothing.
        let timeout = entry.timeout.unsigned_abs();
        let mut config = Config::new();
        config
            .host(entry.address.as_str())
            .port(entry.port)
            .application_name("remit")
            .connect_timeout(timeout)
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self {
            config,
            tls,
            role: entry.role.clone(),
            password_file: entry.password_file.as_ref().map(|file| home.join(file)),
            database: entry.database.clone(),
            timeout,
            shown: format!("{}:{}", entry.address, entry.port),
        })
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn role(&self) -> &str {
        &self.role
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Does some work in a session of the host's own.
    pub(super) async fn with<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        purpose: Purpose,
        work: impl FnOnce(Client) -> F,
    ) -> Result<T, Failure> {
        let password = self.password()?;
        let client = self.connect(&self.role, password.as_ref(), &self.database, purpose).await?;
        let client = client.map_err(|error| self.refused(&error, password.is_some()))?;
        // The server gives up first: what it has not done until then is not done.
        match tokio::time::timeout(self.timeout + self.timeout / 2, work(client)).await {
            Ok(done) => done,
            Err(_) => Err(self.slow()),
        }
    }

    /// A session of any role. What is outside fails for lack of an answer, what is inside is the answer.
    pub(super) async fn connect(
        &self,
        role: &str,
        password: Option<&SecretText>,
        database: &str,
        purpose: Purpose,
    ) -> Result<Result<Client, Error>, Failure> {
        let mut config = self.config.clone();
        config.user(role).dbname(database);
        if let Some(password) = password {
            config.password(password.expose());
        }
        // Settings of the database and of the role give way to these. With another path, functions that somebody else made could run
        // in place of the server's own.
        let read_only = if purpose == Purpose::Look { "on" } else { "off" };
        config.options(format!(
            "-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed \
             -c default_transaction_read_only={read_only} -c statement_timeout={} -c client_min_messages=error",
            self.timeout.as_millis()
        ));
        let connected = async {
            // Each drives its connection until the client is gone.
            Ok::<_, Error>(match &self.tls {
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    tokio::spawn(connection);
                    client
                }
            })
        };
        match tokio::time::timeout(self.timeout, connected).await {
            // What does not come from the server as an answer is none.
            Ok(Err(error)) if error.as_db_error().is_none() && !lacks_password(&error) => {
                Err(self.failure(&error))
            }
            Ok(connected) => Ok(connected),
            Err(_) => Err(self.slow()),
        }
    }

    fn password(&self) -> Result<Option<SecretText>, Failure> {
        let read = self.password_file.as_deref().map(remit_http::secret).transpose();
        read.map_err(|why| Failure::Denied(format!("the host has no password for {}: {why}", self.shown)))
    }

    /// Why the host itself was not let in.
    fn refused(&self, error: &Error, had_password: bool) -> Failure {
        let Self { shown, role, .. } = self;
        match error.code() {
            None if lacks_password(error) => Failure::Denied(format!(
                "{shown} asks for a password for the host's role `{role}`: set `password_file` in remit.toml"
            )),
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                let words = error.as_db_error().map(words).unwrap_or_default();
                let with = if had_password { " with the password that the host has" } else { "" };
                Failure::Denied(format!("{shown} does not let the host's role `{role}` in{with}: {words}"))
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => Failure::Invalid(format!(
                "{shown} has no database `{}`: check `database` in remit.toml",
                self.database
            )),
            _ => self.failure(error),
        }
    }

    /// What an error means to whoever asked.
    pub(super) fn failure(&self, error: &Error) -> Failure {
        let shown = &self.shown;
        let Some(answer) = error.as_db_error() else {
            return Failure::Unavailable(format!("{shown} {}", why_none(error)));
        };
        let words = words(answer);
        match *answer.code() {
            ref code if code.code() == CONFLICT => Failure::Conflict(answer.message().to_owned()),
            // Two transactions that change the same row: the second one fails as a whole.
            SqlState::INTERNAL_ERROR
                if answer.routine().is_some_and(|routine| routine.starts_with("simple_heap_")) =>
            {
                Failure::Conflict("somebody else is changing this role".to_owned())
            }
            SqlState::INSUFFICIENT_PRIVILEGE => {
                Failure::Denied(format!("{shown} refused it to the host's role `{}`: {words}", self.role))
            }
            SqlState::UNDEFINED_OBJECT => Failure::NotFound(format!("{shown} says {words}")),
            SqlState::READ_ONLY_SQL_TRANSACTION => Failure::Unavailable(format!(
                "{shown} takes no changes now, as a standby does not; give remit.toml the address of the primary"
            )),
            SqlState::QUERY_CANCELED => self.slow(),
            ref code => Failure::Unavailable(format!("{shown} answered {words} (SQLSTATE {})", code.code())),
        }
    }

    fn slow(&self) -> Failure {
        Failure::Unavailable(format!("{} did not answer within {:?}", self.shown, self.timeout))
    }
}

/// Whether the server asked for a password and there was none to give.
pub(super) fn lacks_password(error: &Error) -> bool {
    // The client has no other way to tell.
    error.as_db_error().is_none()
        && std::error::Error::source(error).is_some_and(|why| why.to_string() == "password missing")
}

/// A server's own words, for a person. Its other words, such as where it was, may have what a statement was made of.
pub(super) fn words(error: &DbError) -> String {
    remit_http::shown(&[error.message().to_owned()], []).unwrap_or_else(|| "nothing".to_owned())
}

/// Why there was no answer: nothing of what was sent or received.
fn why_none(error: &Error) -> String {
    if error.is_closed() {
        return "closed the connection".to_owned();
    }
    match std::error::Error::source(error) {
        Some(why) if why.is::<std::io::Error>() => format!("cannot be reached: {why}"),
        _ => format!("did not answer as PostgreSQL does: {error}"),
    }
}
