//! `[[secrets]]` of `remit.toml`.

use std::path::PathBuf;

use jiff::SignedDuration;
use remit_gate::Resource;
use serde::Deserialize;

use crate::secrets::{Generator, serves};

/// One store of secrets, and the paths it serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Entry")]
pub struct SecretsConfig {
    /// Leading segments of the paths it serves; empty for all that no longer prefix claims.
    pub prefix: String,
    /// How fresh values look.
    pub generator: Generator,
    /// Where they are kept.
    pub serving: Serving,
}

/// What keeps secrets: `backend` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// `backend = "embedded"`: a file of Remit's own.
    Embedded {
        /// The database, relative to Remit's home; `secrets.db` unless set. Its key lies beside it.
        file: PathBuf,
    },
    /// `backend = "openbao"`: a server that speaks the Vault API.
    Openbao(Server),
}

/// A KV version 2 engine of OpenBao, or of any server with the same API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `https://HOST[:PORT]`; `http://` for loopback addresses only.
    pub address: String,
    /// Where the engine is mounted; `secret` unless set.
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
    pub timeout: SignedDuration,
}

/// The entry as written: flat, and with nothing in it that is not known. (Serde's `flatten` would let
/// misspelt keys pass.)
#[derive(Deserialize)]
#[serde(tag = "backend", rename_all = "lowercase", deny_unknown_fields)]
enum Entry {
    Embedded {
        #[serde(default)]
        prefix: String,
        #[serde(default = "default_file")]
        file: PathBuf,
        #[serde(default)]
        generator: Generator,
    },
    Openbao {
        #[serde(default)]
        prefix: String,
        address: String,
        #[serde(default = "default_mount")]
        mount: String,
        namespace: Option<String>,
        token_file: Option<PathBuf>,
        token_env: Option<String>,
        ca_file: Option<PathBuf>,
        #[serde(default = "default_timeout")]
        timeout: SignedDuration,
        #[serde(default)]
        generator: Generator,
    },
}

impl From<Entry> for SecretsConfig {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Embedded { prefix, file, generator } => {
                Self { prefix, generator, serving: Serving::Embedded { file } }
            }
            Entry::Openbao {
                prefix,
                address,
                mount,
                namespace,
                token_file,
                token_env,
                ca_file,
                timeout,
                generator,
            } => Self {
                prefix,
                generator,
                serving: Serving::Openbao(Server {
                    address,
                    mount,
                    namespace,
                    token_file,
                    token_env,
                    ca_file,
                    timeout,
                }),
            },
        }
    }
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
        Self {
            prefix: String::new(),
            generator: Generator::default(),
            serving: Serving::Embedded { file: default_file() },
        }
    }
}

impl SecretsConfig {
    /// The entry that serves a secret, chosen as [`Secrets::at`](crate::secrets::Secrets::at) does.
    #[must_use]
    pub fn serving<'a>(entries: &'a [Self], resource: &Resource) -> Option<&'a Self> {
        entries
            .iter()
            .filter(|entry| serves(&entry.prefix, resource.path()))
            .max_by_key(|entry| entry.prefix.len())
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
        let Serving::Openbao(bao) = &file.secrets[1].serving else { panic!("{file:?}") };
        assert_eq!((bao.mount.as_str(), bao.timeout), ("secret", SignedDuration::from_secs(90)));
        assert_eq!(file.secrets[1].generator.entropy().to_string(), "160");

        let at = |path| {
            SecretsConfig::serving(&file.secrets, &Resource::new("secret", path).unwrap())
                .unwrap()
                .prefix
                .as_str()
        };
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
