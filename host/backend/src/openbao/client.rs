//! HTTP: what is sent with every request, what an answer's status means, and what is tried again.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_file::{FileError, Kind};
use remit_gate::{Failure, Resource};
use ureq::http::request::Builder;
use ureq::http::{HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body};
use zeroize::Zeroizing;

use super::wire;
use crate::{BackendError, Server};

/// An answer that is longer is not one of a KV engine.
const MAX_ANSWER: u64 = 1 << 20;
/// What is waited before a read is tried again: twice, then never.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// One request.
pub(super) struct Call {
    method: Method,
    /// Below `/v1/`.
    path: String,
    query: Option<String>,
    body: Option<Zeroizing<Vec<u8>>>,
    credentials: bool,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, query: None, body: None, credentials: true }
    }

    pub(super) fn post(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: Method::POST, path, query: None, body: Some(body), credentials: true }
    }

    pub(super) fn put(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: Method::PUT, ..Self::post(path, body) }
    }

    pub(super) fn with_query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }

    pub(super) fn without_credentials(mut self) -> Self {
        self.credentials = false;
        self
    }

    /// What a policy must list for it.
    fn needs(&self) -> &'static str {
        if self.method == Method::GET { "read" } else { "create, update" }
    }
}

/// What came back: 2xx, 400 or 404.
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the server's clock said.
    pub(super) date: Option<Timestamp>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// Whether the server's errors or warnings have these words. They are only ever compared, never
    /// passed on: a server could say anything.
    pub(super) fn says(&self, words: &str) -> bool {
        wire::remarks(&self.body).iter().any(|remark| remark.contains(words))
    }
}

/// Where the token is.
enum Token {
    File(PathBuf),
    Value(Zeroizing<String>),
}

pub(super) struct Client {
    agent: Agent,
    /// `https://HOST:PORT`, without a slash at the end.
    address: String,
    namespace: Option<String>,
    token: Token,
    timeout: Duration,
}

/// Why an attempt came to nothing, and whether another might do better.
struct Lost {
    why: Failure,
    again: bool,
}

impl Client {
    pub(super) fn open(config: &Server, home: &Path) -> Result<Self, BackendError> {
        let address = check_address(&config.address)?;
        let timeout = Duration::try_from(config.timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= Duration::from_secs(300))
            .ok_or_else(|| setting("timeout", "it must be over 0 and at most 5m"))?;
        if let Some(namespace) = &config.namespace
            && Resource::new("namespace", namespace.trim_end_matches('/')).is_err()
        {
            return Err(setting("namespace", "it is not a path such as team/payments"));
        }
        let no_token = |why: String| BackendError::NoToken { address: address.clone(), why };
        let token = match (&config.token_file, &config.token_env) {
            (Some(_), Some(_)) => return Err(setting("token_file", "`token_env` is set too; choose one")),
            (None, None) => return Err(no_token("neither `token_file` nor `token_env` is set".to_owned())),
            (Some(file), None) => {
                let file = home.join(file);
                read_token(&file)?;
                Token::File(file)
            }
            (None, Some(name)) => match std::env::var(name).map(Zeroizing::new) {
                Ok(value) if is_token(value.trim()) => Token::Value(Zeroizing::new(value.trim().to_owned())),
                Ok(_) => return Err(no_token(format!("the variable {name} does not hold a token"))),
                Err(_) => return Err(no_token(format!("the variable {name} is not set"))),
            },
        };
        let mut tls = TlsConfig::builder();
        if let Some(file) = &config.ca_file {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(&home.join(file))?));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Following would hand the token to whoever is named there.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // No proxy from the environment: the token goes to the configured address only.
            .proxy(None)
            .tls_config(tls.build())
            .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            // A write on a kept connection that the server has just closed would be lost for nothing.
            .max_idle_connections(0)
            .build()
            .new_agent();
        Ok(Self { agent, address, namespace: config.namespace.clone(), token, timeout })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Asks, and asks again when there was no answer, all within the configured time.
    pub(super) fn read(&self, call: &Call) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut pauses = PAUSES.iter();
        loop {
            let lost = match self.attempt(call, self.timeout.saturating_sub(started.elapsed())) {
                Ok(answer) if answer.status == 400 => return Err(self.refused(call)),
                Ok(answer) => return Ok(answer),
                Err(lost) => lost,
            };
            match pauses.next() {
                Some(pause) if lost.again && started.elapsed() + *pause < self.timeout => {
                    tracing::debug!(path = call.path, "no answer, asking again");
                    std::thread::sleep(*pause);
                }
                _ => return Err(lost.why),
            }
        }
    }

    /// Sends a change once: whether a lost one arrived cannot be known from here.
    pub(super) fn write(&self, call: &Call) -> Result<Answer, Failure> {
        self.attempt(call, self.timeout).map_err(|lost| lost.why)
    }

    fn attempt(&self, call: &Call, within: Duration) -> Result<Answer, Lost> {
        let definite = |why| Lost { why, again: false };
        let request = self.request(call).map_err(definite)?;
        let response = match &call.body {
            Some(body) => self.send(request.body(body.as_slice()), within),
            None => self.send(request.body(()), within),
        };
        let mut response = response.map_err(|error| self.lost(&error))?;

        let status = response.status().as_u16();
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp()));
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let read = response.body_mut().as_reader().take(MAX_ANSWER + 1).read_to_end(&mut body);
        let answer = match read {
            Ok(length) if length as u64 > MAX_ANSWER => {
                return Err(definite(Failure::Unavailable(format!(
                    "{} sent an endless answer",
                    self.address
                ))));
            }
            Ok(_) => Answer { status, date, body },
            Err(error) => return Err(self.lost(&ureq::Error::from(error))),
        };
        let unavailable = |why: String| Failure::Unavailable(format!("{} {why}", self.address));
        match status {
            200..=299 | 400 | 404 => Ok(answer),
            300..=399 => Err(definite(unavailable(format!(
                "answered with a redirect ({status}), which is not followed: configure the address of the active server"
            )))),
            401 | 403 => Err(definite(self.denied(call))),
            503 if answer.says("sealed") => Err(definite(sealed(&self.address))),
            429 | 500..=599 => {
                Err(Lost { why: unavailable(format!("answered with status {status}")), again: true })
            }
            _ => Err(definite(self.refused(call))),
        }
    }

    fn send<B: AsSendBody>(
        &self,
        request: Result<Request<B>, ureq::http::Error>,
        within: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        self.agent.run(self.agent.configure_request(request?).timeout_global(Some(within)).build())
    }

    /// Everything but the body.
    fn request(&self, call: &Call) -> Result<Builder, Failure> {
        let query = call.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}/v1/{}{query}", self.address, call.path))
            .header("X-Vault-Request", "true");
        if call.credentials {
            let token = match &self.token {
                Token::Value(value) => value.clone(),
                Token::File(file) => read_token(file)
                    .map_err(|error| Failure::Denied(format!("the host has no token: {error}")))?,
            };
            let mut token = HeaderValue::from_str(&token).map_err(|_| {
                Failure::Denied("the host's token has characters that no token has".to_owned())
            })?;
            token.set_sensitive(true);
            request = request.header("X-Vault-Token", token);
            if let Some(namespace) = &self.namespace {
                request = request.header("X-Vault-Namespace", namespace);
            }
        }
        if call.body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        Ok(request)
    }

    fn lost(&self, error: &ureq::Error) -> Lost {
        let why = match error {
            ureq::Error::Timeout(_) => format!("did not answer within {:?}", self.timeout),
            ureq::Error::HostNotFound => "has no address".to_owned(),
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => format!("has no trusted certificate: {error}"),
            // The words of the HTTP parser may quote what it parsed.
            _ => "did not answer in HTTP".to_owned(),
        };
        Lost { why: Failure::Unavailable(format!("{}: {why}", self.address)), again: true }
    }

    fn denied(&self, call: &Call) -> Failure {
        let credential = match &self.token {
            Token::File(file) => format!("the token in {}", file.display()),
            Token::Value(_) => "the host's token".to_owned(),
        };
        Failure::Denied(format!(
            "{} refused {credential}: it expired or was revoked, or its policy lacks [{}] on \"{}\"",
            self.address,
            call.needs(),
            call.path
        ))
    }

    /// A definite no for reasons that are the request's.
    pub(super) fn refused(&self, call: &Call) -> Failure {
        Failure::Invalid(format!("{} does not accept a {} of {}", self.address, call.method, call.path))
    }

    pub(super) fn garbage(&self, wanted: &str) -> Failure {
        Failure::Unavailable(format!("{} answered with something that is not {wanted}", self.address))
    }
}

pub(super) fn sealed(address: &str) -> Failure {
    Failure::Unavailable(format!("{address} is sealed: unseal it"))
}

fn setting(setting: &'static str, why: &str) -> BackendError {
    BackendError::Setting { setting, why: why.to_owned() }
}

/// `https://HOST[:PORT]`, or `http://` to this machine.
fn check_address(address: &str) -> Result<String, BackendError> {
    let uri: Uri = address
        .parse()
        .map_err(|_| setting("address", "it is not a URL such as https://bao.example.com:8200"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(setting("address", "it has no scheme or no host; write https://HOST:PORT"));
    };
    if authority.as_str().contains('@') {
        return Err(setting("address", "it has a user or password in it; the token belongs in `token_file`"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(setting("address", "it has a path; write https://HOST:PORT only"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" => {}
        "http" if here => {}
        "http" => {
            return Err(BackendError::Plaintext { address: address.to_owned() });
        }
        _ => return Err(setting("address", "its scheme is not https")),
    }
    Ok(format!("{scheme}://{authority}"))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 8192 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read_token(file: &Path) -> Result<Zeroizing<String>, BackendError> {
    let unusable = |source| BackendError::File { what: "the token file", source };
    let read = remit_file::plain(file, Kind::Secret).map_err(unusable)?;
    let mode = read.mode();
    // Group access is common: an agent writes the file, Remit reads it.
    if mode & 0o007 != 0 {
        return Err(BackendError::TokenExposed { path: file.to_owned(), mode });
    }
    let text = read.text().map_err(unusable)?.trim();
    if is_token(text) {
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let help = "put the token into it, on a line by itself";
    Err(unusable(FileError::unusable(file, Kind::Secret, "it does not hold a token", help)))
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, BackendError> {
    let unusable = |source| BackendError::File { what: "the CA file", source };
    let pem = remit_file::plain(file, Kind::Certificates).map_err(unusable)?;
    let found: Vec<_> = parse_pem(pem.bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        let help = "name a file with the certificate of the CA, in PEM";
        return Err(unusable(FileError::unusable(
            file,
            Kind::Certificates,
            "it holds no PEM certificate",
            help,
        )));
    }
    Ok(found)
}
