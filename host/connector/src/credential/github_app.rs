//! A GitHub App: the host signs who it is (RS256), and gets a token for the repositories of the entry and for an hour.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use remit_file::{FileError, Kind};
use remit_gate::Failure;
use remit_http::{SecretFileError, is_token};
use remit_trust::SecretText;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;

use super::cached::Cached;
use super::{AUTHORIZATION, joined, unreadable};
use crate::client::{Client, Outgoing};
use crate::entry::GithubAppConfig;

/// How long the host's own statement holds, in seconds. GitHub takes at most ten minutes.
const STATEMENT: i64 = 300;
/// How far GitHub's clock may be behind, in seconds.
const BEHIND: i64 = 60;

pub(crate) struct GithubApp {
    origin: String,
    config: GithubAppConfig,
    file: PathBuf,
    cached: Cached,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_at: Timestamp,
    #[serde(default)]
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    name: String,
}

impl GithubApp {
    pub(super) fn open(config: &GithubAppConfig, home: &Path, origin: &str) -> Result<Self, SecretFileError> {
        let file = home.join(&config.key_file);
        key(&file)?;
        Ok(Self { origin: origin.to_owned(), config: config.clone(), file, cached: Cached::default() })
    }

    pub(super) fn token(&self, client: &Client, within: Duration) -> Result<SecretText, Failure> {
        self.cached.get(|| self.make(client, within))
    }

    pub(super) fn forget(&self) {
        self.cached.forget();
    }

    fn make(&self, client: &Client, within: Duration) -> Result<(SecretText, Duration), Failure> {
        let refused =
            |why: &str| Failure::Denied(format!("the host has no credential: {} {why}", self.origin));
        let config = &self.config;
        let now = Timestamp::now();
        let statement = statement(&key(&self.file).map_err(unreadable)?, &config.app_id, now)
            .ok_or_else(|| refused("cannot be told who asks: the key does not sign"))?;
        let mut wanted = json!({"repositories": config.repositories});
        if !config.permissions.is_empty() {
            wanted["permissions"] = json!(config.permissions);
        }
        let body = wanted.to_string();
        let plain = |text: &str| SecretText::new(text.to_owned());
        let request = Outgoing {
            method: "POST",
            origin: &self.origin,
            target: &format!(
                "{}/app/installations/{}/access_tokens",
                config.api.trim_end_matches('/'),
                config.installation_id
            ),
            headers: vec![
                ("content-type".to_owned(), plain("application/json")),
                ("accept".to_owned(), plain("application/vnd.github+json")),
                (AUTHORIZATION.to_owned(), joined("Bearer ", statement.expose())),
            ],
            body: Some(body.as_bytes()),
            bound: &[],
            sent_as: None,
        };
        let answer = client.send(&request, within).map_err(|lost| match lost.into_failure() {
            Failure::Unavailable(why) => refused(&format!("did not make a token: {why}")),
            failure => failure,
        })?;
        if answer.status != 201 {
            return Err(refused(&format!("made no token for the installation (status {})", answer.status)));
        }
        let answer: Answer = serde_json::from_slice(&answer.body)
            .map_err(|_| refused("answered with something that is no token"))?;
        let Answer { token, expires_at, repositories } = answer;
        let token = SecretText::new(token);
        // A token that reaches more than was asked for is not used.
        let is_ours =
            |found: &Repository| config.repositories.iter().any(|own| own.eq_ignore_ascii_case(&found.name));
        if !is_token(token.expose()) || repositories.is_empty() || !repositories.iter().all(is_ours) {
            return Err(refused("made a token that is not for the entry's repositories alone"));
        }
        let lives = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
        Ok((token, lives))
    }
}

/// The statement of who the app is: a JWT.
fn statement(key: &RsaKeyPair, app: &serde_json::Value, now: Timestamp) -> Option<SecretText> {
    let now = now.as_second();
    let claims = json!({"iat": now - BEHIND, "exp": now + STATEMENT, "iss": app});
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
    Some(SecretText::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// The private key: PEM of PKCS #1, as GitHub makes it, or of PKCS #8.
fn key(file: &Path) -> Result<RsaKeyPair, SecretFileError> {
    let text = remit_http::secret(file)?;
    let read = || {
        let pem = pem::parse(text.expose()).ok()?;
        match pem.tag() {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(pem.contents()).ok(),
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(pem.contents()).ok(),
            _ => None,
        }
    };
    read().ok_or_else(|| {
        let help = "put the app's private key into it, in PEM, as GitHub made it (RSA, 2048 bits or more)";
        FileError::unusable(file, Kind::Secret, "it does not hold an RSA private key", help).into()
    })
}
