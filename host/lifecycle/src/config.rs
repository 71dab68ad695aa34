//! `remit.toml`: whom this host trusts, which system serves which secrets, and which directories there are.

use std::path::{Path, PathBuf};

use remit_backend::{Files, FilesConfig, Secrets, SecretsConfig, Systems as _};
use remit_notify::NotifyConfig;
use remit_text::Mistake;
use remit_text::toml::Table;
use remit_trust::VerifyingKey;
use serde::Deserialize;

use crate::{Error, WitnessConfig};

/// The configuration file, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The journal's name in its checkpoints: a name no other log has.
    pub log: String,
    /// What policies know of this home: `production`.
    #[serde(default)]
    pub environment: Option<String>,
    /// Whose signatures count.
    #[serde(default)]
    pub trust: Trust,
    /// Which backend serves which secrets.
    #[serde(skip)]
    pub secrets: Vec<SecretsConfig>,
    /// Which directories scopes can grant.
    #[serde(skip)]
    pub files: Vec<FilesConfig>,
    /// Who is told of what.
    #[serde(default)]
    pub notify: Vec<NotifyConfig>,
    /// Who cosigns the journal's checkpoints.
    #[serde(default)]
    pub witness: Vec<WitnessConfig>,
}

/// Public key files, relative to the home.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Who may publish actions.
    pub publishers: Vec<PathBuf>,
    /// Who may say who the principals are and what they may do.
    pub admins: Vec<PathBuf>,
    /// Of no meaning any more: principals approve now. Older homes have it.
    pub operators: Vec<PathBuf>,
}

impl Config {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let read = remit_file::trusted(path, remit_file::Kind::Configuration)?;
        Self::parse(read.text()?, path)
    }

    /// Reads its text; `path` is where it lies, or will.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        Self::read(text).map_err(|mistake| Error::Document {
            file: path.display().to_string(),
            wanted: "a Remit configuration",
            why: mistake.to_string(),
            help: "correct the line it points at; docs/configuration.md lists every key".to_owned(),
        })
    }

    /// Each domain reads its own section, and what is left is the rest of this.
    fn read(text: &str) -> Result<Self, Mistake> {
        let mut document = Table::parse(text)?;
        let (secrets, files) = (Secrets::entries(&mut document)?, Files::entries(&mut document)?);
        let rest: Self = document.rest("remit.toml")?;
        Ok(Self { secrets, files, ..rest })
    }

    /// Loads the keys of publishers.
    pub(crate) fn publishers(home: &Path, files: &[PathBuf]) -> Result<Vec<VerifyingKey>, Error> {
        files.iter().map(|file| Ok(VerifyingKey::load_trusted_publisher(&home.join(file))?)).collect()
    }

    /// Loads the keys of a list.
    pub(crate) fn keys(home: &Path, files: &[PathBuf]) -> Result<Vec<VerifyingKey>, Error> {
        files.iter().map(|file| Ok(VerifyingKey::load_trusted(&home.join(file))?)).collect()
    }
}
