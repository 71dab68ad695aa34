//! As whom requests are sent. The connector never sees any of it.

mod aws;
mod cached;
mod github_app;
mod oauth;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_gate::Failure;
use remit_http::SecretFileError;
use remit_trust::SecretText;
use zeroize::Zeroizing;

use crate::client::{Client, Outgoing};
use crate::entry::{CredentialConfig, Entry};
use remit_text::uri_part;

/// The credential of an origin.
pub(crate) enum Credential {
    None,
    Header { name: String, prefix: String, file: PathBuf },
    Basic { user: String, file: PathBuf },
    Oauth(oauth::Oauth),
    GithubApp(github_app::GithubApp),
    Aws(aws::Aws),
}

/// What a request gets of the host: headers, and the secrets that no answer may show to the connector.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) headers: Vec<(String, SecretText)>,
    pub(crate) secrets: Vec<SecretText>,
}

const AUTHORIZATION: &str = "authorization";

/// Two texts as one, without leaving parts behind.
fn joined(prefix: &str, secret: &str) -> SecretText {
    let mut text = String::with_capacity(prefix.len() + secret.len());
    text.push_str(prefix);
    text.push_str(secret);
    SecretText::new(text)
}

impl Lent {
    fn header(name: &str, prefix: &str, token: SecretText) -> Self {
        Self { headers: vec![(name.to_owned(), joined(prefix, token.expose()))], secrets: vec![token] }
    }

    fn basic(user: &str, password: &SecretText) -> Self {
        let pair = joined(&format!("{user}:"), password.expose());
        let coded = SecretText::new(STANDARD.encode(pair.expose()));
        let value = joined("Basic ", coded.expose());
        Self { headers: vec![(AUTHORIZATION.to_owned(), value)], secrets: vec![password.clone(), coded] }
    }
}

impl Credential {
    /// Reads the files once, so that a mistake is told before the credential is needed.
    pub(crate) fn open(entry: &Entry, home: &Path) -> Result<Self, SecretFileError> {
        Ok(match &entry.credential {
            None => Self::None,
            Some(CredentialConfig::BearerFile(file)) => {
                let file = home.join(file);
                remit_http::token(&file)?;
                Self::Header { name: AUTHORIZATION.to_owned(), prefix: "Bearer ".to_owned(), file }
            }
            Some(CredentialConfig::Header(config)) => {
                let file = home.join(&config.file);
                remit_http::token(&file)?;
                Self::Header { name: config.name.clone(), prefix: config.prefix.clone(), file }
            }
            Some(CredentialConfig::Basic(config)) => {
                let file = home.join(&config.password_file);
                remit_http::secret(&file)?;
                Self::Basic { user: config.user.clone(), file }
            }
            Some(CredentialConfig::Oauth(config)) => Self::Oauth(oauth::Oauth::open(config, home)?),
            Some(CredentialConfig::GithubApp(config)) => {
                Self::GithubApp(github_app::GithubApp::open(config, home, &entry.origin)?)
            }
            Some(CredentialConfig::Aws(config)) => Self::Aws(aws::Aws::open(config, home)?),
        })
    }

    /// Whether this is a header that it sets, so that a connector may not.
    pub(crate) fn sets(&self, header: &str) -> bool {
        match self {
            Self::Header { name, .. } => header == name,
            Self::Aws(_) => aws::HEADERS.contains(&header),
            Self::None | Self::Basic { .. } | Self::Oauth(_) | Self::GithubApp(_) => false,
        }
    }

    /// What this request gets.
    pub(crate) fn lend(
        &self,
        client: &Client,
        request: &Outgoing<'_>,
        within: Duration,
    ) -> Result<Lent, Failure> {
        match self {
            Self::None => Ok(Lent::default()),
            Self::Header { name, prefix, file } => {
                Ok(Lent::header(name, prefix, remit_http::token(file).map_err(unreadable)?))
            }
            Self::Basic { user, file } => {
                Ok(Lent::basic(user, &remit_http::secret(file).map_err(unreadable)?))
            }
            Self::Oauth(oauth) => Ok(Lent::header(AUTHORIZATION, "Bearer ", oauth.token(client, within)?)),
            Self::GithubApp(app) => Ok(Lent::header(AUTHORIZATION, "Bearer ", app.token(client, within)?)),
            Self::Aws(aws) => aws.lend(request),
        }
    }

    /// What a request gets that is sent as the holder of a sealed argument.
    pub(crate) fn lend_sealed(&self, value: &SecretText) -> Result<Lent, Failure> {
        match self {
            Self::Header { name, prefix, .. } => Ok(Lent::header(name, prefix, value.clone())),
            Self::None | Self::Oauth(_) | Self::GithubApp(_) => {
                Ok(Lent::header(AUTHORIZATION, "Bearer ", value.clone()))
            }
            Self::Basic { .. } | Self::Aws(_) => Err(Failure::Invalid(
                "a sealed argument cannot stand for a credential of two parts (basic, aws)".to_owned(),
            )),
        }
    }

    /// The origin refused what it was lent: a token that was kept is not used again. Whether there was one.
    pub(crate) fn refused(&self) -> bool {
        match self {
            Self::Oauth(oauth) => oauth.forget(),
            Self::GithubApp(app) => app.forget(),
            Self::None | Self::Header { .. } | Self::Basic { .. } | Self::Aws(_) => return false,
        }
        true
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Header { .. } => "header",
            Self::Basic { .. } => "basic",
            Self::Oauth(_) => "oauth",
            Self::GithubApp(_) => "github_app",
            Self::Aws(_) => "aws",
        })
    }
}

fn unreadable(error: SecretFileError) -> Failure {
    Failure::Denied(format!("the host has no credential: {error}"))
}

/// A form that may be secret.
fn form(pairs: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let room = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = Zeroizing::new(Vec::with_capacity(room));
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push(b'&');
        }
        form.extend_from_slice(uri_part(name).as_bytes());
        form.push(b'=');
        form.extend_from_slice(Zeroizing::new(uri_part(value)).as_bytes());
    }
    form
}
