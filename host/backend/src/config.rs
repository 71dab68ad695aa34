//! `[[secrets]]` of `remit.toml`.

use std::path::PathBuf;

use jiff::SignedDuration;
use remit_gate::Resource;
use serde::Deserialize;

use crate::secrets::{Generator, serves};

/// One store of secrets, and the paths it serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "backend", rename_all = "lowercase")]
pub enum SecretsConfig {
    /// `backend = "embedded"`: in a file of Remit's own.
    Embedded(EmbeddedConfig),
    /// `backend = "openbao"`: a server that speaks the Vault API.
    Openbao(OpenBaoConfig),
}

/// The embedded store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Which paths it serves; empty for all that no longer prefix claims.
    #[serde(default)]
    pub prefix: String,
    /// The database, relative to Remit's home; `secrets.db` unless set. Its key lies beside it.
    #[serde(default = "default_file")]
    pub file: PathBuf,
    /// How fresh values look.
    #[serde(default)]
    pub generator: Generator,
}

/// A KV version 2 engine of OpenBao, or of any server with the same API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBaoConfig {
    /// Which paths it serves; empty for all that no longer prefix claims.
    #[serde(default)]
    pub prefix: String,
    /// `https://HOST[:PORT]`; `http://` for loopback addresses only.
    pub address: String,
    /// Where the engine is mounted; `secret` unless set.
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
    /// What one call may take in all; `5s` unless set.
    #[serde(default = "default_timeout")]
    pub timeout: SignedDuration,
    /// How fresh values look.
    #[serde(default)]
    pub generator: Generator,
}

fn default_file() -> PathBuf {
    PathBuf::from("secrets.db")
}

fn default_mount() -> String {
    "secret".to_owned()
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(5)
}

impl Default for SecretsConfig {
    /// The embedded store, for every path.
    fn default() -> Self {
        Self::Embedded(EmbeddedConfig {
            prefix: String::new(),
            file: default_file(),
            generator: Generator::default(),
        })
    }
}

impl SecretsConfig {
    /// Which paths it serves.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self {
            Self::Embedded(config) => &config.prefix,
            Self::Openbao(config) => &config.prefix,
        }
    }

    /// How fresh values look.
    #[must_use]
    pub fn generator(&self) -> &Generator {
        match self {
            Self::Embedded(config) => &config.generator,
            Self::Openbao(config) => &config.generator,
        }
    }

    /// The entry that serves a secret, chosen as [`Secrets::at`](crate::secrets::Secrets::at) does.
    #[must_use]
    pub fn serving<'a>(entries: &'a [Self], resource: &Resource) -> Option<&'a Self> {
        entries
            .iter()
            .filter(|entry| serves(entry.prefix(), resource.path()))
            .max_by_key(|entry| entry.prefix().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        secrets: Vec<SecretsConfig>,
    }

    #[test]
    fn entries_parse() {
        let file: File = toml::from_str(
            r#"
            [[secrets]]
            backend = "embedded"

            [[secrets]]
            prefix = "prod"
            backend = "openbao"
            address = "https://bao.example.com:8200"
            token_env = "BAO_TOKEN"
            timeout = "1m 30s"
            [secrets.generator]
            length = 40
            alphabet = "hex"
            "#,
        )
        .unwrap();
        assert_eq!(file.secrets[0], SecretsConfig::default());
        let SecretsConfig::Openbao(bao) = &file.secrets[1] else { panic!("{file:?}") };
        assert_eq!((bao.mount.as_str(), bao.timeout), ("secret", SignedDuration::from_secs(90)));
        assert_eq!(bao.generator.entropy().round() as u32, 160);

        let at = |path| SecretsConfig::serving(&file.secrets, &Resource::new("secret", path).unwrap()).unwrap().prefix();
        assert_eq!((at("prod/x"), at("production"), at("dev")), ("prod", "", ""));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("backend = 'embeded'", "embeded"),
            ("prefix = 'x'", "backend"),
            ("backend = 'embedded'\nadress = 'x'", "adress"),
            ("backend = 'embedded'\naddress = 'https://x'", "address"),
            ("backend = 'openbao'", "address"),
            ("backend = 'openbao'\naddress = 'https://x'\ntimeout = 'soon'", "soon"),
            ("backend = 'embedded'\ngenerator.length = 3", "64 are needed"),
        ] {
            let error = toml::from_str::<File>(&format!("[[secrets]]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("line"), "{text}: {error}");
        }
    }
}
