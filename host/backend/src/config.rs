//! `[[secrets]]` of `remit.toml`.

use std::path::PathBuf;

use jiff::SignedDuration;
use remit_gate::Resource;
use serde::Deserialize;

use crate::secrets::{Generator, serves};

/// One store of secrets, and the paths it serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
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

/// The entry as written: flat, so that a mistake is shown at its own line, and nothing unknown passes.
/// (Serde's tagged enums lose the line, its `flatten` lets misspelt keys through.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    backend: Backend,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    generator: Generator,
    file: Option<PathBuf>,
    address: Option<String>,
    mount: Option<String>,
    namespace: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "remit_text::duration::deserialize_optional")]
    timeout: Option<SignedDuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Backend {
    Embedded,
    Openbao,
}

impl TryFrom<Entry> for SecretsConfig {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let serving = match entry.backend {
            Backend::Embedded => {
                let foreign = [
                    ("address", entry.address.is_some()),
                    ("mount", entry.mount.is_some()),
                    ("namespace", entry.namespace.is_some()),
                    ("token_file", entry.token_file.is_some()),
                    ("token_env", entry.token_env.is_some()),
                    ("ca_file", entry.ca_file.is_some()),
                    ("timeout", entry.timeout.is_some()),
                ];
                if let Some((key, _)) = foreign.iter().find(|(_, set)| *set) {
                    return Err(format!("the embedded backend has no `{key}`; `backend = \"openbao\"` has"));
                }
                Serving::Embedded { file: entry.file.unwrap_or_else(default_file) }
            }
            Backend::Openbao if entry.file.is_some() => {
                return Err("the openbao backend has no `file`; `backend = \"embedded\"` has".to_owned());
            }
            Backend::Openbao => Serving::Openbao(Server {
                address: entry
                    .address
                    .ok_or("the openbao backend needs an `address`, such as https://HOST:8200")?,
                mount: entry.mount.unwrap_or_else(|| "secret".to_owned()),
                namespace: entry.namespace,
                token_file: entry.token_file,
                token_env: entry.token_env,
                ca_file: entry.ca_file,
                timeout: entry.timeout.unwrap_or(SignedDuration::from_secs(5)),
            }),
        };
        // As of all paths in this entry, slashes at its ends mean nothing.
        let prefix = entry.prefix.trim_matches('/').to_owned();
        Ok(Self { prefix, generator: entry.generator, serving })
    }
}

fn default_file() -> PathBuf {
    PathBuf::from("secrets.db")
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
            prefix = "/prod/"
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
            ("backend = 'openbao'\nfile = 'x'", "file"),
            ("backend = 'openbao'\naddress = 'https://x'\ntimeout = 'soon'", "line 4"),
            ("backend = 'embedded'\ngenerator.length = 3", "64 are needed"),
        ] {
            let error = toml::from_str::<File>(&format!("[[secrets]]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("line"), "{text}: {error}");
        }
    }
}
