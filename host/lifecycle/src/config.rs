//! `remit.toml`: the keys that this host trusts, the systems of each domain, notifiers and witnesses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_backend::accounts::AccountsConfig;
use remit_backend::{Evidence, Networks, Systems};
use remit_capability::connected::Rehearsal;
use remit_capability::domain::Section;
use remit_connector::Entry;
use remit_gate::Estate;
use remit_notify::NotifyConfig;
use remit_text::{Mistake, Table};
use remit_trust::{KeyError, VerifyingKey};
use serde::Deserialize;

use crate::Error;

/// The configuration file, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The journal's name in its checkpoints. No other log may have it.
    pub log: String,
    /// The environment of this home, for policies: `production`. None if it is not configured.
    #[serde(default)]
    pub environment: Option<String>,
    /// The files of the trusted keys.
    #[serde(default)]
    pub trust: Trust,
    /// The configured systems, one section for each domain.
    #[serde(skip)]
    pub systems: Vec<Arc<dyn Section>>,
    /// The systems of the host's own that have accounts.
    #[serde(skip)]
    pub accounts: Vec<AccountsConfig>,
    /// The connectors, one entry for each instance.
    #[serde(skip)]
    pub connectors: Vec<Entry>,
    /// The notifiers, and the events that each gets.
    #[serde(default)]
    pub notify: Vec<NotifyConfig>,
    /// The witnesses that cosign the journal's checkpoints.
    #[serde(default)]
    pub witness: Vec<WitnessConfig>,
    /// What rehearsals may use.
    #[serde(default)]
    pub rehearsals: RehearsalConfig,
    /// How `remit serve` is reached.
    #[serde(default)]
    pub server: ServerConfig,
}

/// `[rehearsals]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RehearsalConfig {
    /// How many times its default each limit of a rehearsal may be. Nobody has approved these limits, unlike those of a run.
    pub most_times_default: u32,
}

impl Default for RehearsalConfig {
    fn default() -> Self {
        Self { most_times_default: 10 }
    }
}

/// `[server]` of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The address and port to listen at. If it is not configured, `127.0.0.1:8520`.
    pub listen: Option<SocketAddr>,
    /// The URL by which clients reach the server, without a path. Calls by another host name are refused. If it is not
    /// configured, the address, which must be of this machine alone then.
    pub url: Option<String>,
    /// The server's own certificate. Without it only this machine can be listened at.
    pub tls: Option<TlsConfig>,
    /// How often each principal may call.
    pub rate: RateConfig,
    /// Where traces go. If it is not configured, nowhere.
    pub traces: Option<TracesConfig>,
}

/// `[server.traces]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The URL of an OpenTelemetry collector that takes OTLP over HTTP, without `/v1/traces`.
    pub endpoint: String,
}

/// `[server.rate]` of the configuration: the bucket of points that each principal has. A look takes 1 of them, a document 5, a
/// rehearsal or a start 20.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateConfig {
    /// How many points come back within a minute.
    pub per_minute: u32,
    /// How many points a full bucket has.
    pub burst: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self { per_minute: 1_200, burst: 600 }
    }
}

/// `[server.tls]` of the configuration: files in PEM, relative to the home. They are read again when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate, with those between it and the root.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authorities one of which must have signed the client's certificate. If none are configured, clients need none.
    pub client_authorities: Option<PathBuf>,
}

/// `[[witness]]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// The URL of the witness, to which `add-checkpoint` is appended.
    pub url: String,
    /// The public key of the witness: `NAME+ID+BASE64`.
    pub key: String,
}

/// Public key files, relative to the home.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// The key files of the publishers whose actions may run.
    pub publishers: Vec<PathBuf>,
    /// The key files of the administrators, who sign the rules.
    pub admins: Vec<PathBuf>,
}

impl Config {
    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let read = remit_file::trusted(path, remit_file::Kind::Configuration)?;
        Self::parse(read.text()?, path)
    }

    /// Parses the text of a configuration file. `path` is the file's path, whether or not it exists.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let read = || {
            let mut document = Table::parse(text)?;
            let systems =
                remit_capability::systems().map(|of| of.read(&mut document)).collect::<Result<_, _>>()?;
            let accounts = document.entries(AccountsConfig::SECTION)?.into_iter().map(AccountsConfig::read);
            let accounts = accounts.collect::<Result<_, _>>()?;
            let connectors = document.entries("connector")?.into_iter().map(Entry::read);
            let connectors = connectors.collect::<Result<_, _>>()?;
            Ok(Self { systems, accounts, connectors, ..document.rest("remit.toml")? })
        };
        let wrong = |why: String, help: &str| Error::Document {
            file: path.display().to_string(),
            wanted: "a Remit configuration",
            why,
            help: help.to_owned(),
        };
        let config: Self = read().map_err(|mistake: Mistake| {
            wrong(mistake.to_string(), "correct the line it points at; docs/configuration.md lists every key")
        })?;
        match config.of_another_workload() {
            None => Ok(config),
            Some(name) => Err(wrong(
                format!("[[evidence]] {name} and [[network]] {name} have not the same `netns`"),
                "write the same into both: a path is to name one workload, of which evidence is kept before it is cut",
            )),
        }
    }

    /// A place whose paths name one workload where evidence is kept, and another where traffic is cut: there, `[[require]]` would be kept
    /// to by evidence of somebody else.
    fn of_another_workload(&self) -> Option<&str> {
        let evidence = self.entries::<Evidence>().iter();
        let mut places =
            evidence.flat_map(|kept| self.entries::<Networks>().iter().map(move |cut| (kept, cut)));
        let differ = places.find(|(kept, cut)| kept.name == cut.name && kept.netns != cut.netns);
        differ.map(|(kept, _)| kept.name.as_str())
    }

    /// The configured entries for the systems of one domain.
    #[must_use]
    pub fn entries<S: Systems>(&self) -> &[S::Entry] {
        remit_capability::entries::<S>(&self.systems)
    }

    /// Opens every configured system. Relative paths start at `home`.
    pub(crate) fn estate(&self, home: &Path) -> Result<Estate, Error> {
        let open = |estate, systems: &Arc<dyn Section>| systems.open(home, estate);
        Ok(Rehearsal::serve(self.systems.iter().try_fold(Estate::default(), open)?))
    }

    /// Reads the public keys of publishers, which are P-256 keys in PEM.
    pub(crate) fn publishers(home: &Path, files: &[PathBuf]) -> Result<Vec<VerifyingKey>, Error> {
        files.iter().map(|file| Ok(VerifyingKey::load_trusted_publisher(&home.join(file))?)).collect()
    }

    /// Reads the public keys of administrators, of any kind but passkeys: those sign what a page shows, and rules are in files.
    pub(crate) fn keys(home: &Path, files: &[PathBuf]) -> Result<Vec<VerifyingKey>, Error> {
        let read = |file: &PathBuf| {
            let path = home.join(file);
            let key = VerifyingKey::load_trusted(&path)?;
            if key.passkey_of().is_some() {
                let why = "a passkey, which administrators do not sign rules with".to_owned();
                return Err(KeyError::Unusable { shown: path.display().to_string(), why }.into());
            }
            Ok(key)
        };
        files.iter().map(read).collect()
    }
}
