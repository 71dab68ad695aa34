//! A Remit home: the directory with the configuration, the journal and the host's own keys.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use remit_journal::{Journal, Reader};
use remit_tlog::{NoteSigner, NoteVerifier};
use remit_trust::{Sealer, VerifyingKey, private_seed};

use crate::{Config, Error};

const CONFIG: &str = "remit.toml";

/// Where a home is, and how its files are called.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// What [`Home::init`] made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The configuration file.
    pub config: PathBuf,
    /// The journal's public key, to keep apart from this machine.
    pub log_key: String,
}

impl Home {
    /// The home at `path`, whether or not it exists.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `remit.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join(CONFIG)
    }

    /// The journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.db")
    }

    /// The journal's public key, in text.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.0.join("log.pub")
    }

    pub(crate) fn log_seed(&self) -> PathBuf {
        self.0.join("log.key")
    }

    pub(crate) fn seal_key(&self) -> PathBuf {
        self.0.join("seal.key")
    }

    /// Where actions that ran are kept, by digest.
    pub(crate) fn components(&self) -> PathBuf {
        self.0.join("components")
    }

    /// Where compiled components are kept.
    pub(crate) fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// What the compiled components are sealed with.
    pub(crate) fn cache_key(&self) -> PathBuf {
        self.0.join("cache.key")
    }

    /// Where each run that is going has its lock.
    pub(crate) fn running(&self) -> PathBuf {
        self.0.join("running")
    }

    /// Locked by everyone who has the home open.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Makes a home: directory (mode 0700), configuration, the host's keys, an empty journal. The public
    /// keys given are copied in and trusted. Refuses to touch one that exists.
    pub fn init(
        &self,
        log: &str,
        publishers: &[PathBuf],
        operators: &[PathBuf],
    ) -> Result<Initialised, Error> {
        let shown = || self.0.display().to_string();
        if self.config().exists() {
            return Err(Error::HomeExists { home: shown(), what: "a configuration" });
        }
        // Everything that can be wrong with the arguments is found before anything is written.
        let named = |role: &str, files: &[PathBuf]| -> Result<Vec<(PathBuf, String)>, Error> {
            let load = |(n, file): (usize, &PathBuf)| {
                let key = VerifyingKey::load(file)?;
                let stem = file
                    .file_stem()
                    .map_or_else(|| format!("{role}-{n}"), |s| s.to_string_lossy().into_owned());
                Ok((Path::new("keys").join(format!("{stem}.pub")), key.to_pem()))
            };
            files.iter().enumerate().map(load).collect()
        };
        let (publishers, operators) = (named("publisher", publishers)?, named("operator", operators)?);
        NoteSigner::from_seed(log, &[0; 32])?;

        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.0.join("keys")).map_err(|error| Error::file(&self.0, &error))?;
        let write = |name: &Path, text: &str| {
            let path = self.0.join(name);
            fs::write(&path, text).map_err(|error| Error::file(&path, &error))
        };
        for (name, pem) in publishers.iter().chain(&operators) {
            write(name, pem)?;
        }
        let signer = NoteSigner::from_seed(log, &*private_seed(&self.log_seed())?)?;
        let log_key = signer.verifier().to_string();
        Sealer::load_or_create(&self.seal_key())?;
        Journal::open(&self.journal(), signer)?;
        write(Path::new("log.pub"), &format!("{log_key}\n"))?;
        // Last: its presence is what makes the directory a home.
        write(Path::new(CONFIG), &template(log, &publishers, &operators))?;
        Ok(Initialised { config: self.config(), log_key })
    }

    /// The configuration.
    pub fn load(&self) -> Result<Config, Error> {
        if !self.config().exists() {
            return Err(Error::NoHome { home: self.0.display().to_string() });
        }
        Config::load(&self.config())
    }

    /// The journal's public key.
    pub fn verifier(&self) -> Result<NoteVerifier, Error> {
        let path = self.log_key();
        let text = fs::read_to_string(&path).map_err(|error| Error::file(&path, &error))?;
        Ok(NoteVerifier::parse(&text)?)
    }

    /// The journal, to read.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.load()?;
        Ok(Journal::open_read_only(&self.journal())?)
    }
}

fn template(log: &str, publishers: &[(PathBuf, String)], operators: &[(PathBuf, String)]) -> String {
    let list = |keys: &[(PathBuf, String)]| {
        keys.iter()
            .map(|(name, _)| format!("{:?}", name.display().to_string()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!(
        r#"# The name of this host's journal in its signed checkpoints.
log = {log:?}

[trust]
# Who may publish actions, and who may grant: public keys (P-256, PEM), relative to this file.
publishers = [{}]
operators  = [{}]

# Which system serves which secrets; the longest prefix wins.
[[secrets]]
prefix  = ""
backend = "embedded"

# [[secrets]]
# prefix     = "prod"
# backend    = "openbao"                    # or any server with Vault's KV version 2
# address    = "https://bao.example.org:8200"
# mount      = "secret"
# token_file = "bao.token"                  # mode 0600; or token_env = "BAO_TOKEN"
"#,
        list(publishers),
        list(operators)
    )
}

/// Reads a log's public key from text.
pub fn log_key(text: &str) -> Result<NoteVerifier, Error> {
    Ok(NoteVerifier::parse(text)?)
}
