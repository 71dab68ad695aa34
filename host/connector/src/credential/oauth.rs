//! OAuth 2.0 client credentials (RFC 6749, section 4.4).

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_gate::Failure;
use remit_http::{SecretFileError, is_token};
use remit_trust::SecretText;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::cached::Cached;
use super::{AUTHORIZATION, form, joined, unreadable};
use crate::client::{Client, Outgoing};
use crate::entry::OauthConfig;
use remit_text::uri_part;

/// How long a token is good for whose server does not say.
const UNSAID: u64 = 300;

pub(crate) struct Oauth {
    origin: String,
    target: String,
    config: OauthConfig,
    file: PathBuf,
    cached: Cached,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl Oauth {
    pub(super) fn open(config: &OauthConfig, home: &Path) -> Result<Self, SecretFileError> {
        let file = home.join(&config.secret_file);
        remit_http::secret(&file)?;
        // The address was read as one: after its origin come the path and the query.
        let at = config.token_url.find("://").map_or(0, |at| at + 3);
        let end = config.token_url[at..].find(['/', '?']).map_or(config.token_url.len(), |end| at + end);
        let (origin, target) = config.token_url.split_at(end);
        let target = if target.is_empty() { "/" } else { target };
        Ok(Self {
            origin: origin.to_owned(),
            target: target.to_owned(),
            config: config.clone(),
            file,
            cached: Cached::default(),
        })
    }

    pub(super) fn token(&self, client: &Client, within: Duration) -> Result<SecretText, Failure> {
        self.cached.get(|| self.make(client, within))
    }

    pub(super) fn forget(&self) {
        self.cached.forget();
    }

    fn make(&self, client: &Client, within: Duration) -> Result<(SecretText, Duration), Failure> {
        let secret = remit_http::secret(&self.file).map_err(unreadable)?;
        let config = &self.config;
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(config.scope.as_deref().map(|scope| ("scope", scope)));
        fields.extend(config.audience.as_deref().map(|audience| ("audience", audience)));
        let plain = |text: &str| SecretText::new(text.to_owned());
        let mut headers = vec![
            ("content-type".to_owned(), plain("application/x-www-form-urlencoded")),
            ("accept".to_owned(), plain("application/json")),
        ];
        if config.secret_in_body {
            fields.extend([("client_id", config.client_id.as_str()), ("client_secret", secret.expose())]);
        } else {
            // Both parts are encoded as in a form first: RFC 6749, section 2.3.1.
            let pair = joined(
                &format!("{}:", uri_part(&config.client_id)),
                &Zeroizing::new(uri_part(secret.expose())),
            );
            let coded = Zeroizing::new(STANDARD.encode(pair.expose()));
            headers.push((AUTHORIZATION.to_owned(), joined("Basic ", &coded)));
        }
        let body = form(&fields);
        let request = Outgoing {
            method: "POST",
            origin: &self.origin,
            target: &self.target,
            headers,
            body: Some(&body),
            bound: &[],
            sent_as: None,
        };
        let refused =
            |why: &str| Failure::Denied(format!("the host has no credential: {} {why}", self.origin));
        let answer = client.send(&request, within).map_err(|lost| match lost.into_failure() {
            Failure::Unavailable(why) => refused(&format!("did not make a token: {why}")),
            failure => failure,
        })?;
        if answer.status != 200 {
            return Err(refused(&format!("made no token (status {})", answer.status)));
        }
        let answer: Answer = serde_json::from_slice(&answer.body)
            .map_err(|_| refused("answered with something that is no token"))?;
        let token = SecretText::new(answer.access_token);
        if !answer.token_type.eq_ignore_ascii_case("bearer") || !is_token(token.expose()) {
            return Err(refused("made a token that is not a bearer token"));
        }
        let lives = Duration::from_secs(answer.expires_in.unwrap_or(UNSAID));
        Ok((token, lives))
    }
}
