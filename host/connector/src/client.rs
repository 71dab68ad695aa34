//! One HTTP request to a checked address, and what came back.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use remit_file::FileError;
use remit_gate::Failure;
use remit_http::MAX_ANSWER;
use remit_trust::SecretText;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderValue, Request};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::DefaultConnector;
use zeroize::Zeroizing;

use crate::Replay;
use crate::address::{self, Block, Checked};

/// Sends requests to addresses that were checked, or to nobody.
#[derive(Debug)]
pub(crate) enum Client {
    Network(Agent),
    Replay(Replay),
}

/// A request as it is sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'static str,
    /// Scheme, host and port.
    pub(crate) origin: &'a str,
    /// Path and query, encoded.
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(String, SecretText)>,
    pub(crate) body: Option<&'a [u8]>,
    /// The headers that the connector set, for a fixture.
    pub(crate) bound: &'a [(String, String)],
    /// The sealed argument as which it is sent, for a fixture.
    pub(crate) sent_as: Option<&'a str>,
}

/// What came back.
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Nothing came back.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Nothing was sent.
    NotSent(Failure),
    /// It may have been sent.
    Unknown(Failure),
    /// It was sent, and another attempt gets the same.
    Useless(Failure),
}

impl Lost {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::NotSent(failure) | Self::Unknown(failure) | Self::Useless(failure) => failure,
        }
    }
}

impl Client {
    pub(crate) fn new(
        ca_file: Option<&Path>,
        resolver: impl Resolver,
        allowed: &[Block],
    ) -> Result<Self, FileError> {
        let config = remit_http::config(ca_file)?.build();
        let resolver = Checked { inner: resolver, allowed: allowed.to_vec() };
        Ok(Self::Network(Agent::with_parts(config, DefaultConnector::default(), resolver)))
    }

    pub(crate) fn send(&self, request: &Outgoing<'_>, within: Duration) -> Result<Incoming, Lost> {
        let agent = match self {
            Self::Network(agent) => agent,
            Self::Replay(replay) => return replay.answer(request),
        };
        let Outgoing { method, origin, target, headers, body, .. } = request;
        let mut builder = Request::builder().method(*method).uri(format!("{origin}{target}"));
        for (name, value) in headers {
            let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
                let why = format!("the value of the header `{name}` has characters that no header has");
                return Err(Lost::NotSent(Failure::Invalid(why)));
            };
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        let unfit = |_| Lost::NotSent(Failure::Invalid("the request is none of HTTP".to_owned()));
        // A request with a method that usually has a body says that it is empty.
        let body = body.or_else(|| matches!(*method, "POST" | "PUT" | "PATCH").then_some(&[]));
        let sent = match body {
            Some(body) => {
                let request = builder.body(body).map_err(unfit)?;
                let request = agent.configure_request(request).timeout_global(Some(within)).build();
                agent.run(request)
            }
            None => {
                let request = builder.body(()).map_err(unfit)?;
                let request = agent.configure_request(request).timeout_global(Some(within)).build();
                agent.run(request)
            }
        };
        let lost = |error: &ureq::Error| match address::refused(error) {
            Some(refused) => Lost::NotSent(Failure::Denied(format!("{origin}: {refused}"))),
            None => {
                let why = remit_http::why_none(error, within);
                Lost::Unknown(Failure::Unavailable(format!("{origin}: {why}")))
            }
        };
        let mut response = sent.map_err(|error| lost(&error))?;
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let read = response.body_mut().as_reader().take(MAX_ANSWER + 1).read_to_end(&mut body);
        let length = read.map_err(|error| lost(&ureq::Error::from(error)))?;
        if length as u64 > MAX_ANSWER {
            let why = format!("{origin} sent an answer that is longer than 1 MiB");
            return Err(Lost::Useless(Failure::Unavailable(why)));
        }
        Ok(Incoming { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }
}
