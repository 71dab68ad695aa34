//! AWS Signature Version 4, in the header `Authorization`:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use remit_gate::Failure;
use remit_http::SecretFileError;
use remit_trust::{Digest, SecretText};
use ring::hmac;
use zeroize::Zeroizing;

use super::{AUTHORIZATION, Lent, unreadable};
use crate::client::Outgoing;
use crate::entry::AwsConfig;
use remit_text::uri_part;

/// The headers that it sets.
pub(super) const HEADERS: [&str; 3] = ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];

pub(crate) struct Aws {
    config: AwsConfig,
    secret: PathBuf,
    session: Option<PathBuf>,
}

impl Aws {
    pub(super) fn open(config: &AwsConfig, home: &Path) -> Result<Self, SecretFileError> {
        let secret = home.join(&config.secret_key_file);
        remit_http::token(&secret)?;
        let session = config.session_token_file.as_ref().map(|file| home.join(file));
        session.as_deref().map(remit_http::token).transpose()?;
        Ok(Self { config: config.clone(), secret, session })
    }

    pub(super) fn lend(&self, request: &Outgoing<'_>) -> Result<Lent, Failure> {
        let secret = remit_http::token(&self.secret).map_err(unreadable)?;
        let session = self.session.as_deref().map(remit_http::token).transpose().map_err(unreadable)?;
        let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let plain = |text: String| SecretText::new(text);
        let mut lent = vec![
            ("x-amz-content-sha256".to_owned(), plain(hex_digest(request.body.unwrap_or_default()))),
            ("x-amz-date".to_owned(), plain(time.clone())),
        ];
        lent.extend(session.iter().map(|token| ("x-amz-security-token".to_owned(), token.clone())));
        // The default port is not part of the header `Host`.
        let authority = request.origin.split_once("://").map_or(request.origin, |(_, authority)| authority);
        let host = match request.origin.split_once("://") {
            Some(("https", authority)) => authority.strip_suffix(":443").unwrap_or(authority),
            _ => authority.strip_suffix(":80").unwrap_or(authority),
        };
        let mut signed = vec![("host".to_owned(), plain(host.to_owned()))];
        signed.extend(request.headers.iter().chain(&lent).map(|(name, value)| (name.clone(), value.clone())));
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let value = Signer {
            region: &self.config.region,
            service: &self.config.service,
            key: &self.config.access_key_id,
            secret: &secret,
            time: &time,
        }
        .authorization(request.method, path, query, &signed, request.body.unwrap_or_default());
        lent.push((AUTHORIZATION.to_owned(), plain(value)));
        Ok(Lent { headers: lent, secrets: std::iter::once(secret).chain(session).collect() })
    }
}

struct Signer<'a> {
    region: &'a str,
    service: &'a str,
    key: &'a str,
    secret: &'a SecretText,
    /// `YYYYMMDDTHHMMSSZ`.
    time: &'a str,
}

impl Signer<'_> {
    /// The value of `Authorization`. `path` and `query` are as they are sent, `headers` all that are signed.
    fn authorization(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(String, SecretText)],
        body: &[u8],
    ) -> String {
        let mut headers: Vec<(&str, String)> =
            headers.iter().map(|(name, value)| (name.as_str(), single_spaced(value.expose()))).collect();
        // By name only: those of one name stay in their order.
        headers.sort_by_key(|(name, _)| *name);
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        names.dedup();
        let names = names.join(";");
        let mut lines: Vec<Zeroizing<String>> = Vec::new();
        let mut last = "";
        for (name, value) in &headers {
            match lines.last_mut() {
                Some(line) if *name == last => line.extend([",", value]),
                _ => lines.push(Zeroizing::new(format!("{name}:{value}"))),
            }
            last = name;
        }
        let lines: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
        let canonical = Zeroizing::new(format!(
            "{method}\n{}\n{}\n{}\n\n{names}\n{}",
            canonical_path(path),
            canonical_query(query),
            lines.join("\n"),
            hex_digest(body)
        ));
        let day = self.time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.time, hex_digest(canonical.as_bytes()));
        let first = super::joined("AWS4", self.secret.expose());
        let mut key =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, first.expose().as_bytes()), day.as_bytes());
        for part in [self.region, self.service, "aws4_request", &text] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), part.as_bytes());
        }
        let signature = hex::encode(key.as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key
        )
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    hex::encode(Digest::of(bytes).as_bytes())
}

/// The path as it is sent, encoded once more: so all services want it but S3, which no connector may use with this.
fn canonical_path(path: &str) -> String {
    path.split('/').map(uri_part).collect::<Vec<_>>().join("/")
}

/// The pairs in order, each part encoded.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (uri_part(&name), uri_part(&value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn single_spaced(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
