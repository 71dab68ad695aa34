//! Connections to a directory, each for one call, and what its errors mean.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, StdStream};
use remit_gate::Failure;
use tokio::task::JoinHandle;

use super::wire::{Cut, Wire};
use crate::BackendError;
use crate::accounts::LdapConfig;
use crate::accounts::config::Parts;

/// The result codes of RFC 4511, and of RFC 4528 the last, that are told apart here.
pub(super) mod code {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const SIZE_LIMIT: u32 = 4;
    pub(crate) const STRONGER_AUTH: u32 = 8;
    pub(crate) const REFERRAL: u32 = 10;
    pub(crate) const CONFIDENTIALITY: u32 = 13;
    pub(crate) const NO_SUCH_ATTRIBUTE: u32 = 16;
    pub(crate) const CONSTRAINT: u32 = 19;
    pub(crate) const VALUE_EXISTS: u32 = 20;
    pub(crate) const NO_SUCH_OBJECT: u32 = 32;
    pub(crate) const INVALID_DN: u32 = 34;
    pub(crate) const INVALID_CREDENTIALS: u32 = 49;
    pub(crate) const INSUFFICIENT_ACCESS: u32 = 50;
    pub(crate) const UNWILLING: u32 = 53;
    pub(crate) const ASSERTION_FAILED: u32 = 122;
}

/// How one directory is reached.
pub(super) struct Server {
    url: String,
    wire: Wire,
    bind_dn: String,
    password_file: PathBuf,
    timeout: Duration,
}

/// Ends the tasks of a connection: of what drives the client, and of what lies between it and the directory.
struct Tasks([JoinHandle<()>; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Server {
    pub(super) fn open(entry: &LdapConfig, home: &Path) -> Result<Self, BackendError> {
        let starts_tls = entry.starts_tls()?;
        let Parts { secure, host, port } = entry.parts()?;
        let ca_file = entry.ca_file.as_deref().map(|file| home.join(file));
        let encrypts = starts_tls || secure;
        let tls = encrypts.then(|| crate::tls::client(ca_file.as_deref()).map(Arc::new)).transpose()?;
        Ok(Self {
            url: entry.address.clone(),
            wire: Wire { host: host.to_owned(), port, tls, starts_tls },
            bind_dn: entry.bind_dn.clone(),
            password_file: home.join(&entry.password_file),
            // The entry was checked: it is more than nothing.
            timeout: entry.timeout.unsigned_abs(),
        })
    }

    pub(super) fn shown(&self) -> &str {
        &self.url
    }

    pub(super) fn bind_dn(&self) -> &str {
        &self.bind_dn
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.wire.tls.is_some()
    }

    /// Does some work in a session of the host's own.
    pub(super) async fn with<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        work: impl FnOnce(Ldap) -> F,
    ) -> Result<T, Failure> {
        let cut = Cut::default();
        let session = async {
            let (mut ldap, _tasks) = self.connect(&cut).await?;
            let done = work(ldap.clone()).await;
            // It is closed either way.
            let _ = ldap.unbind().await;
            done
        };
        // The client panics at answers that it does not expect.
        let session = AssertUnwindSafe(session).catch_unwind();
        let odd =
            |why| Err(Failure::Unavailable(format!("{} did not answer as a directory does{why}", self.url)));
        match tokio::time::timeout(self.timeout, session).await {
            Ok(Ok(done @ Ok(_))) => done,
            Ok(Ok(Err(failure))) => cut.get().map_or(Err(failure), |why| odd(format!(": {why}"))),
            Ok(Err(_)) => odd(String::new()),
            Err(_) => {
                Err(Failure::Unavailable(format!("{} did not answer within {:?}", self.url, self.timeout)))
            }
        }
    }

    async fn connect(&self, cut: &Cut) -> Result<(Ldap, Tasks), Failure> {
        let password = remit_http::secret(&self.password_file)
            .map_err(|why| Failure::Denied(format!("the host has no password for {}: {why}", self.url)))?;
        // RFC 4513, 5.1.2: a name without a password is let in as nobody.
        if password.expose().is_empty() {
            return Err(Failure::Denied(format!(
                "the host has no password for {}: {} is empty",
                self.url,
                self.password_file.display()
            )));
        }
        let reached = self.wire.connect(Arc::clone(cut)).await;
        let (stream, carries) =
            reached.map_err(|why| Failure::Unavailable(format!("{} cannot be reached: {why}", self.url)))?;
        let carries = tokio::spawn(carries);
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(stream));
        // The address is the socket's: the client itself connects nowhere.
        let connected = LdapConnAsync::with_settings(settings, "ldapi://wire").await;
        let (connection, mut ldap) = connected.map_err(|error| self.failure(&error))?;
        let drives = tokio::spawn(async move {
            // Whoever waits for an answer is told that there is none.
            let _ = connection.drive().await;
        });
        let tasks = Tasks([carries, drives]);
        let bound = ldap.simple_bind(&self.bind_dn, password.expose()).await;
        let mut bound = bound.map_err(|error| self.failure(&error))?;
        // The directory was told the password, and its words are shown to people.
        let shown =
            |secrets: &[&str]| remit_http::shown(std::slice::from_ref(&bound.text), secrets.iter().copied());
        if shown(&[password.expose()]) != shown(&[]) {
            bound.text.clear();
        }
        match bound.rc {
            code::SUCCESS => Ok((ldap, tasks)),
            code::INVALID_CREDENTIALS => Err(Failure::Denied(format!(
                "{} does not let the host's account `{}` in with the password that the host has: {}",
                self.url,
                self.bind_dn,
                words(&bound)
            ))),
            code::STRONGER_AUTH | code::CONFIDENTIALITY => Err(Failure::Denied(format!(
                "{} lets nobody in by a connection like this one: {}; use ldaps:// or `tls = true`",
                self.url,
                words(&bound)
            ))),
            _ => Err(self.answered(&bound)),
        }
    }

    /// What an answer other than success means to whoever asked.
    pub(super) fn answered(&self, answer: &LdapResult) -> Failure {
        let (url, words) = (&self.url, words(answer));
        match answer.rc {
            code::NO_SUCH_ATTRIBUTE
            | code::CONSTRAINT
            | code::VALUE_EXISTS
            | code::NO_SUCH_OBJECT
            | code::ASSERTION_FAILED => {
                Failure::Conflict(format!("somebody else changed it ({url}: {words})"))
            }
            code::INSUFFICIENT_ACCESS | code::UNWILLING => {
                Failure::Denied(format!("{url} refused it to the host's account `{}`: {words}", self.bind_dn))
            }
            code::REFERRAL => Failure::Unavailable(format!(
                "{url} says that another server has it: give remit.toml the address of that one"
            )),
            code::INVALID_DN => Failure::Invalid(format!("{url} says {words}")),
            rc => Failure::Unavailable(format!("{url} answered {words} (result code {rc})")),
        }
    }

    pub(super) fn failure(&self, error: &LdapError) -> Failure {
        let url = &self.url;
        Failure::Unavailable(match error {
            LdapError::LdapResult { result } => return self.answered(result),
            LdapError::Io { source } => format!("{url} cannot be reached: {source}"),
            // What is meant for a person of the others; what was sent is in none of them.
            LdapError::OpSend { .. } | LdapError::ResultRecv { .. } | LdapError::EndOfStream => {
                format!("{url} closed the connection")
            }
            other => format!("{url} did not answer as a directory does: {other}"),
        })
    }
}

/// A server's own words, for a person.
pub(super) fn words(answer: &LdapResult) -> String {
    let named = answer.to_string();
    // `rc=32 (noSuchObject), dn: …`
    let named = named.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(name, _)| name);
    match remit_http::shown(std::slice::from_ref(&answer.text), []) {
        Some(said) => format!("{named}: {said}"),
        None => named.to_owned(),
    }
}
