//! OpenBao, or any server with the Vault API: its KV version 2 secrets engine.
//!
//! Every write carries `cas`, so the server compares the version's number and writes in one step. The API has no
//! such thing for which secret it is (one that was deleted with all its metadata may be made anew, from version
//! 1), nor for versions that are deleted, undeleted or destroyed. There the metadata is read right before and right
//! after. What was different before is refused. What is different afterwards is no success: `Unavailable`, so that the
//! host looks at what there is. What goes unseen is what others do in the moment between, and in which all is
//! the same again afterwards: whoever disables the same version in that moment, has their change taken for ours.

mod api;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use remit_gate::Failure;
use serde::Deserialize;

use super::blocking::{Blocking, OnThreads};
use super::fields::Fields;
use super::store::{Act, Identity, Metadata, Right, Turn, check_version};
use crate::error::BackendError;
use crate::http::{Answer, Call, Client, Settings};
use api::{LOOKUP, SEALED, Vault};

/// The endpoint that tells what a token may do.
const CAPABILITIES: &str = "sys/capabilities-self";

/// What docs/configuration.md tells to grant: the endpoint of the engine, and the capability on it.
const POLICY: [(&str, &str); 6] = [
    ("metadata", "read"),
    ("data", "read"),
    ("data", "update"),
    ("delete", "update"),
    ("undelete", "update"),
    ("destroy", "update"),
];

/// The endpoint and the capability that an act needs.
fn right_of(act: Act) -> (&'static str, &'static str) {
    let endpoint = match act {
        Act::Put => "data",
        Act::Turn(Turn::Disable) => "delete",
        Act::Turn(Turn::Enable) => "undelete",
        Act::Turn(Turn::Destroy) => "destroy",
    };
    (endpoint, "update")
}

/// `backend = "openbao"`: a KV version 2 engine of OpenBao, or of any server with the same API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBaoConfig {
    /// `https://HOST[:PORT]`; `http://` for loopback addresses only.
    pub address: String,
    /// The path at which the engine is mounted.
    #[serde(default = "default_mount")]
    pub mount: String,
    /// The namespace, if the server has them.
    pub namespace: Option<String>,
    /// A file with the token, relative to Remit's home. Read again for every request, so that an agent
    /// may renew it.
    pub token_file: Option<PathBuf>,
    /// The environment variable with the token.
    pub token_env: Option<String>,
    /// The CA that signed the server's certificate, in PEM, relative to Remit's home. Without it the
    /// public ones are trusted.
    pub ca_file: Option<PathBuf>,
    /// The maximum time of one call with all its attempts.
    #[serde(default = "default_timeout", deserialize_with = "remit_text::duration::deserialize")]
    pub timeout: SignedDuration,
}

fn default_mount() -> String {
    "secret".to_owned()
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(5)
}

/// A KV version 2 engine of a server.
pub type OpenBao = OnThreads<Engine>;

/// A mounted engine, and the connection to its server.
pub struct Engine {
    client: Client<Vault>,
    mount: String,
}

impl OpenBao {
    /// Checks the settings and reads token and CA; does not contact the server. Files are relative to
    /// `home`.
    pub fn open(config: &OpenBaoConfig, home: &Path) -> Result<Self, BackendError> {
        let mount = api::path("mount", &config.mount)?;
        let namespace = config.namespace.as_deref().map(|text| api::path("namespace", text)).transpose()?;
        let settings = Settings {
            address: &config.address,
            token_file: config.token_file.as_deref(),
            token_env: config.token_env.as_deref(),
            ca_file: config.ca_file.as_deref(),
            timeout: config.timeout,
        };
        let client = Client::open(&settings, home, Vault { namespace, mount: mount.clone() })?;
        Ok(Self(Arc::new(Engine { client, mount })))
    }
}

impl std::fmt::Debug for OpenBao {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenBao({}, mount {})", self.0.client.address(), self.0.mount)
    }
}

impl Blocking for Engine {
    const NAME: &'static str = "OpenBao";

    fn metadata(&self, path: &str) -> Result<Metadata, Failure> {
        let answer = self.client.read(&Call::get(format!("{}/metadata/{path}", self.mount)))?;
        if answer.status == 404 {
            return Err(self.not_there(&answer, format!("there is no secret {path}")));
        }
        wire::metadata(&answer.body, answer.date).map_err(|wanted| self.client.garbage(wanted))
    }

    fn read(&self, path: &str, version: u64) -> Result<Fields, Failure> {
        check_version(version)?;
        let call = Call::get(format!("{}/data/{path}", self.mount)).with_query(format!("version={version}"));
        let answer = self.client.read(&call)?;
        if answer.status == 404 {
            // For a deleted version, KV version 2 answers 404 with its metadata.
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
        read.fields.map_err(|fields| {
            let (noun, are) = if fields.len() == 1 { ("field", "is") } else { ("fields", "are") };
            Failure::Invalid(format!(
                "{noun} {} of {path} {are} not text; only secrets whose fields are all text are handled",
                wire::names(&fields)
            ))
        })
    }

    fn put(
        &self,
        path: &str,
        identity: Option<&Identity>,
        expected_current: u64,
        fields: &Fields,
    ) -> Result<u64, Failure> {
        if identity.is_some() {
            self.metadata(path)?.must_be(identity, path)?;
        }
        let call = Call::post(self.api("data", path), wire::write(expected_current, fields))
            .with_secrets(fields.iter().map(|(_, value)| value));
        let answer = self.client.write(&call)?;
        let written = match answer.status {
            404 => return Err(self.not_there(&answer, format!("the server has no place for {path}"))),
            400 if answer.says("check-and-set parameter did not match") => {
                return Err(Failure::Conflict(format!(
                    "version {expected_current} of {path} is not current any more"
                )));
            }
            400 => return Err(self.client.refused(&call, &answer)),
            _ => match wire::written(&answer.body) {
                Some(version) if version > expected_current => version,
                _ => return Err(self.client.garbage("the new version's number")),
            },
        };
        if identity.is_some() {
            self.confirm(path, identity)?;
        }
        Ok(written)
    }

    fn turn(&self, turn: Turn, path: &str, identity: Option<&Identity>, version: u64) -> Result<(), Failure> {
        check_version(version)?;
        let known = self.metadata(path)?;
        known.must_be(identity, path)?;
        let to = turn.from(path, version, known.version(path, version)?.state)?;
        let (address, body) = (self.api(right_of(Act::Turn(turn)).0, path), wire::versions(version));
        let call = match turn {
            Turn::Disable | Turn::Enable => Call::post(address, body),
            Turn::Destroy => Call::put(address, body),
        };
        let answer = self.client.write(&call)?;
        match answer.status {
            404 => return Err(self.not_there(&answer, format!("there is no secret {path}"))),
            400 => return Err(self.client.refused(&call, &answer)),
            _ => {}
        }
        // The server says yes to everything, whether there was anything to do or not.
        let known = self.confirm(path, known.identity.as_ref())?;
        match known.version(path, version) {
            Ok(found) if found.state == to => Ok(()),
            Ok(found) => Err(Failure::Unavailable(format!(
                "version {version} of {path} was to be {to} and is {}",
                found.state
            ))),
            Err(why) => Err(Failure::Unavailable(format!("it was to be {to}, but {why}"))),
        }
    }

    fn right(&self, path: &str, act: Act) -> Result<Right, Failure> {
        let (endpoint, capability) = right_of(act);
        let wanted = [(self.api(endpoint, path), capability)];
        Ok(match self.rights(&wanted) {
            Ok(held) if held == [true] => Right::Held,
            Ok(_) => Right::Lacking(format!(
                "the host's token may not {}: its policy lacks [{capability}] on \"{}\"",
                if endpoint == "data" { "write" } else { endpoint },
                wanted[0].0
            )),
            Err(Failure::Denied(_)) => Right::Unknown(format!(
                "the host may not ask what its token may do: its policy lacks [update] on \"{CAPABILITIES}\""
            )),
            Err(other) => return Err(other),
        })
    }

    fn check(&self, prefix: &str) -> Result<String, Failure> {
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
            return Err(self.client.unavailable(SEALED));
        }
        // A policy for a run has no need of it, and the server's own `default` policy need not be the token's.
        let token = match self.client.read(&Call::get(LOOKUP.to_owned())) {
            Err(Failure::Denied(_)) => None,
            answer => {
                let token = wire::token(&answer?.body);
                Some(token.ok_or_else(|| self.client.garbage("what the token may do"))?)
            }
        };
        let mount = self.client.read(&self.client.api().engine());
        let mount = mount.map_err(|failure| match failure {
            // The server does not tell a missing mount from one that the token may not see.
            Failure::Denied(_) if token.is_some() => Failure::Denied(format!(
                "{address} shows the token nothing at `{}`: check `mount` in remit.toml and the token's policy",
                self.mount
            )),
            other => other,
        })?;
        self.is_versioned(&mount)?;
        let rights = self.check_rights(prefix)?;
        let token = token.unwrap_or_else(|| {
            format!("of which nothing can be looked up (its policy lacks [read] on \"{LOOKUP}\")")
        });
        Ok(format!(
            "server {} at {address}, KV version 2 at `{}`, token {token}, {rights}",
            health.version, self.mount
        ))
    }
}

impl Engine {
    /// Looks once more, after a change: only what is as it should be then is a success.
    fn confirm(&self, path: &str, identity: Option<&Identity>) -> Result<Metadata, Failure> {
        let unsure = |why: Failure| {
            Failure::Unavailable(format!("{path} was written to, and what there is now is not known: {why}"))
        };
        let found = self.metadata(path).map_err(unsure)?;
        found.must_be(identity, path).map_err(unsure)?;
        Ok(found)
    }

    /// The path of an API endpoint below `/v1/`: `secret/data/prod/db`.
    fn api(&self, endpoint: &str, path: &str) -> String {
        format!("{}/{endpoint}/{path}", self.mount)
    }

    /// Which of these the token has, in their order.
    fn rights(&self, wanted: &[(String, &str)]) -> Result<Vec<bool>, Failure> {
        let paths: Vec<String> = wanted.iter().map(|(path, _)| path.clone()).collect();
        // It changes nothing and may be asked again.
        let answer = self.client.read(&Call::post(CAPABILITIES.to_owned(), wire::paths(&paths)))?;
        wire::capabilities(&answer.body, wanted).ok_or_else(|| self.client.garbage("what the token may do"))
    }

    /// What of the documented policy the token lacks below `prefix`: an error if it could then do less than what a run
    /// may need of it, or what could not be undone; and else in words.
    fn check_rights(&self, prefix: &str) -> Result<String, Failure> {
        let at = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
        let wanted = POLICY.map(|(endpoint, capability)| (self.api(endpoint, &at), capability));
        let held = match self.rights(&wanted) {
            Err(Failure::Denied(_)) => return self.try_rights(prefix),
            held => held?,
        };
        let lacks: Vec<String> = wanted
            .iter()
            .zip(&held)
            .filter(|(_, held)| !**held)
            .map(|((path, capability), _)| format!("[{capability}] on \"{path}\""))
            .collect();
        let [metadata, read, update, delete, undelete, _] = held[..] else {
            return Err(self.client.garbage("what the token may do"));
        };
        if lacks.len() == wanted.len() {
            // The policy may name secrets one by one.
            return Ok(format!(
                "it may do nothing with all of `{}`; what it may, is asked before each change",
                self.api("data", &at)
            ));
        }
        if !metadata || !read || !update || (delete && !undelete) {
            return Err(Failure::Denied(format!("the token's policy lacks {}", lacks.join(", "))));
        }
        Ok(if lacks.is_empty() {
            "it may rotate, disable and destroy".to_owned()
        } else {
            format!("it lacks {}, which only disabling and destroying need", lacks.join(", "))
        })
    }

    /// What a token can do that may not ask: it looks at a secret that need not be there.
    fn try_rights(&self, prefix: &str) -> Result<String, Failure> {
        let nothing = format!("{prefix}/remit-doctor");
        let nothing = nothing.trim_start_matches('/');
        for endpoint in ["metadata", "data"] {
            self.client.read(&Call::get(self.api(endpoint, nothing)))?;
        }
        Ok(format!(
            "it may look at secrets; what else it may do cannot be looked up (its policy lacks [update] on \
             \"{CAPABILITIES}\"), and so disabling a version counts as irrevocable"
        ))
    }

    /// A 404 that means what it says, unless the engine itself is missing.
    fn not_there(&self, answer: &Answer, why: String) -> Failure {
        if answer.says("no handler for route") {
            Failure::NotFound(format!("nothing is mounted at `{}`: check `mount` in remit.toml", self.mount))
        } else if answer.says("Invalid path for a versioned K/V secrets engine") {
            self.client.garbage("KV version 2 paths")
        } else {
            // In an engine of version 1, every path of version 2 is an empty one.
            let mount = self.client.read(&self.client.api().engine()).ok().filter(|mount| mount.status < 300);
            match mount.map(|mount| self.is_versioned(&mount)) {
                Some(Err(other @ Failure::Invalid(_))) => other,
                _ => Failure::NotFound(why),
            }
        }
    }

    /// Whether what is mounted is what this is for.
    fn is_versioned(&self, mount: &Answer) -> Result<(), Failure> {
        let engine = wire::mount(&mount.body).ok_or_else(|| self.client.garbage("what is mounted"))?;
        if engine == ("kv".to_owned(), Some("2".to_owned())) {
            return Ok(());
        }
        let version = engine.1.map(|version| format!(" version {version}")).unwrap_or_default();
        Err(Failure::Invalid(format!(
            "`{}` is a {} engine{version}, not KV version 2: check `mount` in remit.toml",
            self.mount, engine.0
        )))
    }
}

#[cfg(test)]
mod tests;
