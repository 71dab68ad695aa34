//! A bucket of S3 with object lock: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>. Each object is put with its own
//! retention, under a name that nothing has, and read back with it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use remit_gate::Failure;
use remit_http::sigv4::{Signer, hex_digest};
use remit_text::Address;
use remit_trust::{Digest, SecretText};
use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, Body};

use super::config::BucketConfig;
use super::files::digest;
use super::place::{Held, Kept, manifest_of};
use crate::BackendError;

/// How long one request may take: an archive may be large.
const TIME: Duration = Duration::from_secs(120);
/// How many bytes of an error are looked at.
const REMARK: u64 = 16 * 1024;

pub(super) struct Bucket {
    config: BucketConfig,
    origin: String,
    secret_key: PathBuf,
    agent: Agent,
}

impl Bucket {
    pub(super) fn open(config: &BucketConfig, home: &Path) -> Result<Self, BackendError> {
        let wrong = |setting, why: String| BackendError::setting(setting, why);
        let origin =
            Address::of_origin(&config.origin).map_err(|why| wrong("bucket.origin", why.to_string()))?;
        let ca_file = config.ca_file.as_ref().map(|file| home.join(file));
        let agent = remit_http::config(ca_file.as_deref())
            .map_err(|source| BackendError::File { what: "the CA file", source })?
            .timeout_global(Some(TIME))
            .build();
        let secret_key = home.join(&config.secret_key_file);
        remit_http::token(&secret_key).map_err(|why| wrong("bucket.secret_key_file", why.to_string()))?;
        Ok(Self { config: config.clone(), origin, secret_key, agent: agent.into() })
    }

    pub(super) fn shown(&self) -> String {
        format!("the bucket {} at {}", self.config.name, self.origin)
    }

    /// Until when an object that is put now is locked. S3 has whole seconds.
    pub(super) fn until(&self) -> Timestamp {
        let until = Timestamp::now().saturating_add(self.config.retention).unwrap_or(Timestamp::MAX);
        Timestamp::from_second(until.as_second()).unwrap_or(until)
    }

    pub(super) fn held(&self, kept: &Kept) -> Result<Held, Failure> {
        let answer = self.ask("GET", &kept.archive, &[], b"")?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(Held::No),
            _ => return Err(self.refused(answer)),
        }
        if let Some(why) = self.loose(answer.headers(), kept) {
            return Ok(Held::Other(format!("{}: {why}", kept.archive)));
        }
        let broken = |error: std::io::Error| Failure::Unavailable(format!("{}: {error}", self.shown()));
        Ok(match digest(answer.into_body().into_reader(), kept.size).map_err(broken)? {
            Some(found) if found == kept.sha256 => Held::Yes,
            _ => Held::Other(format!("{} is not what was put there", kept.archive)),
        })
    }

    pub(super) fn keep(&self, kept: &Kept, bytes: &[u8], manifest: &[u8]) -> Result<(), Failure> {
        self.put(kept, &manifest_of(&kept.archive), manifest)?;
        self.put(kept, &kept.archive, bytes)?;
        // What the service took is not yet what it keeps.
        let answer = self.ask("HEAD", &kept.archive, &[], b"")?;
        match self.loose(answer.headers(), kept) {
            Some(why) => Err(Failure::Unavailable(format!("{}: {why}", kept.archive))),
            None => Ok(()),
        }
    }

    fn put(&self, kept: &Kept, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let until = kept.until.unwrap_or_else(|| self.until()).to_string();
        let checksum = STANDARD.encode(Digest::of(bytes).as_bytes());
        let headers = [
            ("if-none-match", "*"),
            ("x-amz-checksum-sha256", &checksum),
            ("x-amz-sdk-checksum-algorithm", "SHA256"),
            ("x-amz-object-lock-mode", self.config.mode.name()),
            ("x-amz-object-lock-retain-until-date", &until),
        ];
        let answer = self.ask("PUT", name, &headers, bytes)?;
        match answer.status().as_u16() {
            200 => Ok(()),
            412 | 409 => Err(Failure::Conflict(format!("{name} is in {} already", self.shown()))),
            _ => Err(self.refused(answer)),
        }
    }

    /// Why an object is not kept from being changed as long as it was put for; none if it is.
    fn loose(&self, headers: &HeaderMap, kept: &Kept) -> Option<String> {
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (mode, until) = (said("x-amz-object-lock-mode"), said("x-amz-object-lock-retain-until-date"));
        let until = until.and_then(|until| until.parse::<Timestamp>().ok());
        if mode != Some(self.config.mode.name()) {
            return Some(format!("it is not locked in the mode {}", self.config.mode.name()));
        }
        let at_least = kept.until.unwrap_or_else(Timestamp::now);
        let short = until.is_none_or(|until| until < at_least);
        short.then(|| format!("it is not locked until {at_least}"))
    }

    pub(super) fn check(&self) -> Result<String, Failure> {
        // Nothing has this name. Who may not read is told 403.
        let answer = self.ask("HEAD", "remit-doctor", &[], b"")?;
        match answer.status().as_u16() {
            200 | 404 => {
                let (mode, retention) = (self.config.mode.name(), self.config.retention);
                Ok(format!("{}, locked in the mode {mode} for {retention:#}", self.shown()))
            }
            _ => Err(self.refused(answer)),
        }
    }

    fn ask(
        &self,
        method: &str,
        name: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response<Body>, Failure> {
        let secret =
            remit_http::token(&self.secret_key).map_err(|error| Failure::Denied(error.to_string()))?;
        let path = format!("/{}/{}{name}", self.config.name, self.config.prefix);
        let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let host = self.origin.split_once("://").map_or(&*self.origin, |(_, host)| host);
        let digest = hex_digest(body);
        let mut sent: Vec<(&str, &str)> = vec![("x-amz-content-sha256", &digest), ("x-amz-date", &time)];
        sent.extend_from_slice(headers);
        let signed: Vec<_> = std::iter::once(("host", without_default_port(&self.origin, host)))
            .chain(sent.iter().copied())
            .map(|(name, value)| (name.to_owned(), SecretText::new(value.to_owned())))
            .collect();
        let config = &self.config;
        let signer = Signer {
            region: &config.region,
            service: "s3",
            key: &config.access_key_id,
            secret: &secret,
            time: &time,
        };
        let authorization = signer.authorization(method, &path, "", &signed, body);
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in sent {
            request = request.header(name, value);
        }
        request = request.header("authorization", authorization);
        let lost = |error: &ureq::Error| {
            Failure::Unavailable(format!("{}: {}", self.shown(), remit_http::why_none(error, TIME)))
        };
        let answer = if method == "PUT" {
            self.agent.run(request.body(body).map_err(|error| lost(&error.into()))?)
        } else {
            self.agent.run(request.body(()).map_err(|error| lost(&error.into()))?)
        };
        answer.map_err(|error| lost(&error))
    }

    /// What a status means that no caller expects.
    fn refused(&self, answer: Response<Body>) -> Failure {
        let status = answer.status().as_u16();
        let mut text = String::new();
        let _ = answer.into_body().into_reader().take(REMARK).read_to_string(&mut text);
        // `<Code>AccessDenied</Code>`: one of S3's own words, and no more of what it says.
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"))
            .map_or("", |(code, _)| code);
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
        let why = format!("{} answered {status} {code}", self.shown()).trim_end().to_owned();
        match status {
            401 | 403 => Failure::Denied(why),
            408 | 429 | 500.. => Failure::Unavailable(why),
            _ => Failure::Invalid(why),
        }
    }
}

/// The default port is not part of the header `Host`.
fn without_default_port<'a>(origin: &str, host: &'a str) -> &'a str {
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.shown())
    }
}
