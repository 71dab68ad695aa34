//! AWS Signature Version 4, in the header `Authorization`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use remit_gate::Failure;
use remit_http::SecretFileError;
use remit_http::sigv4::{Signer, hex_digest};
use remit_trust::SecretText;

use super::{AUTHORIZATION, Lent, unreadable};
use crate::client::Outgoing;
use crate::entry::AwsConfig;

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
