//! What all HTTP clients of the host have in common that send a credential: how a connection is made, where the credential is
//! read from, and which of a server's words are shown.
#![forbid(unsafe_code)]

mod secret_file;
pub mod sigv4;
mod words;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use remit_file::{FileError, Kind};
use ureq::config::{Config, ConfigBuilder};
use ureq::http::HeaderMap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

pub use secret_file::{SecretFileError, is_token, secret, token};
pub use words::shown;

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER: u64 = 1 << 20;

/// The settings of every client. `ca_file` holds the CA that is trusted in place of the public ones.
pub fn config(ca_file: Option<&Path>) -> Result<ConfigBuilder<AgentScope>, FileError> {
    let mut tls = TlsConfig::builder();
    if let Some(file) = ca_file {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates(file)?));
    }
    Ok(Config::builder()
        .http_status_as_error(false)
        // A redirect would send the credential to its target.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // No proxy from the environment: the credential goes to the configured address only.
        .proxy(None)
        .tls_config(tls.build())
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        // A write on a kept connection that the server has just closed would be lost for nothing.
        .max_idle_connections(0))
}

/// Why there was no answer, in words that quote nothing of what was sent or received.
#[must_use]
pub fn why_none(error: &ureq::Error, within: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("did not answer within {within:?}"),
        ureq::Error::HostNotFound => "has no address".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => format!("TLS failed: {error}"),
        ureq::Error::LargeResponseHeader(..) => "sent headers that are too long".to_owned(),
        // The words of the HTTP parser may quote what it parsed.
        ureq::Error::Protocol(_) => "did not answer in HTTP".to_owned(),
        _ => "could not be asked".to_owned(),
    }
}

/// The time by the server's clock (the header `Date`).
#[must_use]
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get("date")?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

/// How long a server asks to be left alone: seconds, or until a date, which is held against the server's own clock.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(date(headers)?)).ok()
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, FileError> {
    let pem = remit_file::plain(file, Kind::Certificates)?;
    let wrong = |why| {
        let help = "name a file with the certificate of the CA, in PEM";
        FileError::unusable(file, Kind::Certificates, why, help)
    };
    let items: Vec<_> = parse_pem(pem.bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("a part of it is not PEM as it should be"))?;
    let found: Vec<_> = items
        .into_iter()
        .filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None })
        .collect();
    if found.is_empty() {
        return Err(wrong("it holds no PEM certificate"));
    }
    Ok(found)
}
