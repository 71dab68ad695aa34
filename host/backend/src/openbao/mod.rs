//! OpenBao, or any server with the Vault API: its KV version 2 secrets engine.
//!
//! Every write carries `cas`, so the server compares and writes in one step. The API has no such thing
//! for versions that are deleted, undeleted or destroyed: there the state is read first, and a change in
//! between goes unseen. What it can lead to is one of these states, never another value.

mod client;
mod wire;

use std::path::Path;
use std::sync::Arc;

use remit_gate::{Authority, Failure, Resource};

use crate::secrets::{BoxFuture, Fields, Metadata, SecretStore, Turn, check_version};
use crate::{BackendError, Server};
use client::{Answer, Call, Client};

/// A KV version 2 engine of a server.
pub struct OpenBao(Arc<Inner>);

struct Inner {
    client: Client,
    mount: String,
}

impl OpenBao {
    /// Checks the settings and reads token and CA; does not contact the server. Files are relative to
    /// `home`.
    pub fn open(config: &Server, home: &Path) -> Result<Self, BackendError> {
        let mount = config.mount.clone();
        if let Err(error) = Resource::new("mount", &mount) {
            return Err(BackendError::Setting { setting: "mount", why: error.to_string() });
        }
        Ok(Self(Arc::new(Inner { client: Client::open(config, home)?, mount })))
    }

    /// Runs `work` where it may block. It goes on to its end even if nobody waits for it any more.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await.unwrap_or_else(|_| {
            Err(Failure::Unavailable("the request to the server did not finish".to_owned()))
        })
    }

    fn turn<'a>(
        &'a self,
        turn: Turn,
        secret: &'a Resource,
        version: u64,
        by: &Authority<'_>,
    ) -> BoxFuture<'a, ()> {
        tracing::info!(operation = by.operation(), %secret, version, ?turn, "OpenBao changes a version");
        let path = secret.path().to_owned();
        Box::pin(self.on_a_thread(move |inner| inner.turn(turn, &path, version)))
    }
}

impl std::fmt::Debug for OpenBao {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenBao({}, mount {})", self.0.client.address(), self.0.mount)
    }
}

impl SecretStore for OpenBao {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        let path = secret.path().to_owned();
        Box::pin(self.on_a_thread(move |inner| inner.metadata(&path)))
    }

    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        let path = secret.path().to_owned();
        Box::pin(self.on_a_thread(move |inner| inner.read(&path, version)))
    }

    fn put<'a>(
        &'a self,
        secret: &'a Resource,
        fields: &'a Fields,
        expected_current: u64,
        by: Authority<'a>,
    ) -> BoxFuture<'a, u64> {
        tracing::info!(operation = by.operation(), %secret, expected_current, "OpenBao writes a version");
        let (path, fields) = (secret.path().to_owned(), fields.clone());
        Box::pin(self.on_a_thread(move |inner| inner.put(&path, expected_current, &fields)))
    }

    fn disable<'a>(&'a self, secret: &'a Resource, version: u64, by: Authority<'a>) -> BoxFuture<'a, ()> {
        self.turn(Turn::Disable, secret, version, &by)
    }

    fn enable<'a>(&'a self, secret: &'a Resource, version: u64, by: Authority<'a>) -> BoxFuture<'a, ()> {
        self.turn(Turn::Enable, secret, version, &by)
    }

    fn destroy<'a>(&'a self, secret: &'a Resource, version: u64, by: Authority<'a>) -> BoxFuture<'a, ()> {
        self.turn(Turn::Destroy, secret, version, &by)
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(self.on_a_thread(Inner::check))
    }
}

impl Inner {
    fn metadata(&self, path: &str) -> Result<Metadata, Failure> {
        let answer = self.client.read(&Call::get(format!("{}/metadata/{path}", self.mount)))?;
        if answer.status == 404 {
            return Err(self.not_there(&answer, format!("there is no secret {path}")));
        }
        wire::metadata(&answer.body).ok_or_else(|| self.client.garbage("a secret's metadata"))
    }

    fn read(&self, path: &str, version: u64) -> Result<Fields, Failure> {
        check_version(version)?;
        let call = Call::get(format!("{}/data/{path}", self.mount)).with_query(format!("version={version}"));
        let answer = self.client.read(&call)?;
        if answer.status == 404 {
            // Of a version that was deleted, KV version 2 answers 404 with its metadata.
            let why = match wire::withdrawn(&answer.body) {
                Some(state) => format!("version {version} of {path} is {state}"),
                None => format!("{path} has no version {version}"),
            };
            return Err(self.not_there(&answer, why));
        }
        let read = wire::fields(&answer.body).ok_or_else(|| self.client.garbage("a secret's fields"))?;
        if read.version != version {
            return Err(self.client.garbage("the version that was asked for"));
        }
        read.fields.map_err(|field| {
            Failure::Invalid(format!(
                "field `{field}` of {path} is not text; only fields of text are handled"
            ))
        })
    }

    fn put(&self, path: &str, expected_current: u64, fields: &Fields) -> Result<u64, Failure> {
        let call = Call::post(format!("{}/data/{path}", self.mount), wire::write(expected_current, fields));
        let answer = self.client.write(&call)?;
        match answer.status {
            404 => Err(self.not_there(&answer, format!("the server has no place for {path}"))),
            400 if answer.says("check-and-set parameter did not match") => Err(Failure::Conflict(format!(
                "version {expected_current} of {path} is not current any more"
            ))),
            400 => Err(self.client.refused(&call)),
            _ => match wire::written(&answer.body) {
                Some(version) if version > expected_current => Ok(version),
                _ => Err(self.client.garbage("the new version's number")),
            },
        }
    }

    fn turn(&self, turn: Turn, path: &str, version: u64) -> Result<(), Failure> {
        check_version(version)?;
        let known = self.metadata(path)?.state(path, version)?;
        turn.from(path, version, known)?;
        let body = wire::versions(version);
        let call = match turn {
            Turn::Disable => Call::post(format!("{}/delete/{path}", self.mount), body),
            Turn::Enable => Call::post(format!("{}/undelete/{path}", self.mount), body),
            Turn::Destroy => Call::put(format!("{}/destroy/{path}", self.mount), body),
        };
        let answer = self.client.write(&call)?;
        match answer.status {
            404 => Err(self.not_there(&answer, format!("there is no secret {path}"))),
            400 => Err(self.client.refused(&call)),
            _ => Ok(()),
        }
    }

    /// A 404 that means what it says, unless the engine itself is missing.
    fn not_there(&self, answer: &Answer, why: String) -> Failure {
        if answer.says("no handler for route") {
            Failure::NotFound(format!("nothing is mounted at `{}`: check `mount` in remit.toml", self.mount))
        } else if answer.says("Invalid path for a versioned K/V secrets engine") {
            self.client.garbage("KV version 2 paths")
        } else {
            Failure::NotFound(why)
        }
    }

    fn check(&self) -> Result<String, Failure> {
        let address = self.client.address();
        // Sealed servers and standbys answer as well; the body tells.
        let health = Call::get("sys/health".to_owned())
            .with_query("standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200".to_owned())
            .without_credentials();
        let answer = self.client.read(&health)?;
        let health = wire::health(&answer.body).ok_or_else(|| self.client.garbage("its health"))?;
        if !health.initialized {
            return Err(Failure::Unavailable(format!("{address} is not initialised")));
        }
        if health.sealed {
            return Err(client::sealed(address));
        }
        let token = self.client.read(&Call::get("auth/token/lookup-self".to_owned()))?;
        let token = wire::token(&token.body).ok_or_else(|| self.client.garbage("what the token may do"))?;

        let mount = self.client.read(&Call::get(format!("sys/internal/ui/mounts/{}", self.mount)));
        let mount = mount.map_err(|failure| match failure {
            // The server does not tell a missing mount from one that the token may not see.
            Failure::Denied(_) => Failure::Denied(format!(
                "{address} shows the token nothing at `{}`: check `mount` in remit.toml and the token's policy",
                self.mount
            )),
            other => other,
        })?;
        let engine = wire::mount(&mount.body).ok_or_else(|| self.client.garbage("what is mounted"))?;
        if engine != ("kv".to_owned(), Some("2".to_owned())) {
            let version = engine.1.map(|version| format!(" version {version}")).unwrap_or_default();
            return Err(Failure::Invalid(format!(
                "`{}` is a {} engine{version}, not KV version 2: check `mount` in remit.toml",
                self.mount, engine.0
            )));
        }
        Ok(format!("server {} at {address}, KV version 2 at `{}`, token {token}", health.version, self.mount))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
