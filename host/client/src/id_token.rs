//! ID tokens of a platform: how one is had from GitHub, and how it is exchanged for a certificate of a key.

use std::time::Duration;

use jiff::Timestamp;
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, SecretText, Sign as _};
use serde::Deserialize;
use serde_json::json;

use crate::{Client, ClientError};

/// What a key is worth since its certificate.
#[derive(Clone, Debug, Deserialize)]
pub struct CertifiedKey {
    /// The principal whose key it is.
    pub principal: String,
    /// Until when it counts.
    pub until: Timestamp,
}

impl Client {
    /// Exchanges an ID token for a certificate of this client's key, which proves that it is at hand.
    pub fn certify(&self, token: &SecretText) -> Result<CertifiedKey, ClientError> {
        let (key, about) = (self.signer().verifying_key(), self.about());
        let document = json!({
            "log": about.log,
            "audience": about.url,
            "key": key.id().to_string(),
            "token": Digest::of(token.expose().as_bytes()),
            "at": Timestamp::now(),
        });
        let payload = remit_trust::canonical(&document)?;
        let proof = Envelope::sign("application/vnd.remit.certifying.v1+json", &payload, self.signer())?;
        let body = json!({"token": token.expose(), "key": key.to_text(), "proof": proof});
        self.submit("/api/v1/certificates", &body)
    }
}

/// Asks GitHub, from inside a job with `permissions: id-token: write`, for an ID token with this audience. `url` and `bearer` are
/// what the runner gives the job.
pub fn github(url: &str, bearer: &SecretText, audience: &str) -> Result<SecretText, ClientError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let failed = |why: String| ClientError::NoToken { why };
    let answer = crate::agent(None)?
        .get(url)
        .query("audience", audience)
        .header("authorization", format!("Bearer {}", bearer.expose()))
        .config()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .call();
    let mut answer = answer.map_err(|error| failed(format!("GitHub cannot be reached: {error}")))?;
    if answer.status() != 200 {
        return Err(failed(format!("GitHub answers with the status {}", answer.status().as_u16())));
    }
    let text = answer.body_mut().with_config().limit(64 * 1024).read_to_string();
    let answer: Answer = text
        .map_err(|error| failed(format!("GitHub's answer cannot be read: {error}")))
        .and_then(|text| {
            // What the text is wrong about is not shown: it has a token in it.
            serde_json::from_str(&text).map_err(|_| failed("GitHub's answer has no token".to_owned()))
        })?;
    Ok(SecretText::new(answer.value))
}
