//! `[[secrets]]` of `remit.toml`.

use std::fmt;
use std::path::Path;

use remit_gate::Resource;
use remit_text::Mistake;
use remit_text::Table;
use serde::Deserialize;

use super::embedded::{Embedded, EmbeddedConfig, EmbeddedError};
use super::generator::Generator;
use super::openbao::OpenBaoConfig;
use crate::error::BackendError;
use crate::routes::longest;

/// One store of secrets, and the paths it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretsConfig {
    /// Leading segments of the paths it serves; empty for all that no longer prefix claims.
    pub prefix: String,
    /// How fresh values are generated.
    pub generator: Generator,
    /// The store that serves the secrets.
    pub serving: Serving,
}

/// What keeps secrets, with its own keys: `backend` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// The store that is part of Remit: `backend = "embedded"`.
    Embedded(EmbeddedConfig),
    /// An OpenBao server: `backend = "openbao"`.
    Openbao(OpenBaoConfig),
}

impl Default for Serving {
    fn default() -> Self {
        Self::Embedded(EmbeddedConfig::default())
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Backend {
    Embedded,
    Openbao,
}

impl SecretsConfig {
    pub(super) fn read(mut entry: Table<'_>) -> Result<Self, Mistake> {
        let Some(backend) = entry.take("backend")? else {
            return Err(entry.mistake("the entry needs `backend`: \"embedded\" or \"openbao\""));
        };
        let prefix: String = entry.take("prefix")?.unwrap_or_default();
        Ok(Self {
            // As of all paths in this entry, slashes at its ends mean nothing.
            prefix: prefix.trim_matches('/').to_owned(),
            generator: entry.take("generator")?.unwrap_or_default(),
            serving: match backend {
                Backend::Embedded => Serving::Embedded(entry.rest("the embedded backend")?),
                Backend::Openbao => Serving::Openbao(entry.rest("the openbao backend")?),
            },
        })
    }

    /// The entry that serves a secret, chosen as [`Secrets::at`](super::Secrets::at) does.
    #[must_use]
    pub fn serving<'a>(entries: &'a [Self], resource: &Resource) -> Option<&'a Self> {
        longest(entries.iter(), |entry| &entry.prefix, resource.path())
    }

    /// Opens the embedded store that serves a secret, for an administrator's command: no other store is needed.
    pub fn embedded(entries: &[Self], home: &Path, secret: &Resource) -> Result<Embedded, BackendError> {
        match Self::serving(entries, secret).map(|entry| &entry.serving) {
            Some(Serving::Embedded(config)) => Embedded::open(&home.join(&config.file)),
            _ => Err(EmbeddedError::Elsewhere { path: secret.path().to_owned() }.into()),
        }
    }
}

impl fmt::Display for SecretsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.serving {
            Serving::Embedded(_) => "embedded",
            Serving::Openbao(_) => "openbao",
        })?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, " at `{}`", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn read(text: &str) -> Result<Vec<SecretsConfig>, Mistake> {
        Table::parse(text)?.entries("secrets")?.into_iter().map(SecretsConfig::read).collect()
    }

    #[test]
    fn entries_parse() {
        let entries = read(
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
        assert_eq!(entries[0], SecretsConfig::default());
        let Serving::Openbao(bao) = &entries[1].serving else { panic!("{entries:?}") };
        assert_eq!((bao.mount.as_str(), bao.timeout), ("secret", SignedDuration::from_secs(90)));
        assert_eq!(entries[1].generator.entropy().to_string(), "160");

        let at = |path| {
            SecretsConfig::serving(&entries, &Resource::new("secret", path).unwrap()).unwrap().prefix.as_str()
        };
        assert_eq!((at("prod/x"), at("production"), at("dev")), ("prod", "", ""));
    }

    #[test]
    fn mistakes_are_shown_at_their_place() {
        let told = |text: &str| read(&format!("[[secrets]]\n{text}")).unwrap_err().to_string();
        assert_eq!(
            told("backend = 'openbao'\naddress = 'https://x'\nfile = 'x'"),
            "line 4, column 1\n  |\n4 | file = 'x'\n  | ^^^^\nthe openbao backend has no key `file`; it has `backend`, \
             `prefix`, `generator`, `address`, `mount`, `namespace`, `token_file`, `token_env`, `ca_file`, `timeout`"
        );
        for (text, line, why) in [
            ("backend = 'embeded'", 2, "unknown variant `embeded`, expected `embedded` or `openbao`"),
            ("prefix = 'x'", 1, "needs `backend`"),
            ("backend = 1", 2, "wanted string"),
            (
                "backend = 'embedded'\nadress = 'x'",
                3,
                "no key `adress`; it has `backend`, `prefix`, `generator`, `file`",
            ),
            ("backend = 'embedded'\naddress = 'https://x'", 3, "the embedded backend has no key `address`"),
            ("backend = 'openbao'", 1, "missing field `address`"),
            ("backend = 'openbao'\naddress = 'https://x'\ntimeout = 'soon'", 4, "is not a duration"),
            ("backend = 'embedded'\ngenerator.length = 3", 3, "64 are needed"),
            ("backend = 'embedded'\n[secrets.generator]\nlenght = 3", 4, "unknown field `lenght`"),
        ] {
            let told = told(text);
            assert!(told.starts_with(&format!("line {line},")) && told.contains(why), "{text}: {told}");
        }
    }
}
