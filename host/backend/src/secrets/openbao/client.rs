//! HTTP: what is sent with every request, what an answer's status means, and what is tried again.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_file::{FileError, Kind};
use remit_gate::{Failure, Resource};
use ureq::http::request::Builder;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body};
use zeroize::Zeroizing;

use super::OpenBaoConfig;
use super::{wire, words};
use crate::error::BackendError;
use crate::secrets::fields::Fields;

/// An answer that is longer is not one of a KV engine.
const MAX_ANSWER: u64 = 1 << 20;
/// What is waited before a read is tried again; each time twice as long, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often a read is tried where nothing says that it will get better.
const TRIES: u32 = 3;
/// What KV answers, with status 400, while the data of an engine is made to have versions.
const UPGRADING: [&str; 2] = ["Upgrading from non-versioned", "Waiting for the primary to upgrade"];
/// Where a token looks itself up. The server's own `default` policy grants it.
pub(super) const LOOKUP: &str = "auth/token/lookup-self";

/// One request.
pub(super) struct Call {
    method: Method,
    /// Below `/v1/`.
    path: String,
    query: Option<String>,
    body: Option<Zeroizing<Vec<u8>>>,
    credentials: bool,
    /// The secret values in its body: words of the server's that have some of them are not passed on.
    values: Fields,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        let values = Fields::default();
        Self { method: Method::GET, path, query: None, body: None, credentials: true, values }
    }

    pub(super) fn post(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    /// A check-and-set write.
    pub(super) fn write(path: String, expected_current: u64, fields: &Fields) -> Self {
        Self { values: fields.clone(), ..Self::post(path, wire::write(expected_current, fields)) }
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
    /// The server's own words about an error, after a colon, as they may be shown; or nothing.
    words: String,
}

impl Answer {
    /// Whether the server's errors or warnings have these words.
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
    /// What every token that may do anything with the engine may look at.
    engine: String,
}

/// Why an attempt came to nothing, and whether another might do better.
struct Lost {
    why: Failure,
    hope: Hope,
}

/// What is to be expected of another attempt.
#[derive(Clone, Copy)]
enum Hope {
    /// The same.
    None,
    /// Perhaps something else: nothing says so.
    Some,
    /// That is for a while only, as the server says itself, and perhaps how long.
    Soon(Option<Duration>),
    /// A token may be known only a moment after it was made, and be exchanged at any moment.
    Token,
}

impl Client {
    /// For the engine that is mounted at `mount`.
    pub(super) fn open(config: &OpenBaoConfig, mount: &str, home: &Path) -> Result<Self, BackendError> {
        let address = check_address(&config.address)?;
        let timeout = Duration::try_from(config.timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= Duration::from_secs(300))
            .ok_or_else(|| setting("timeout", "it must be over 0 and at most 5m"))?;
        let namespace = config.namespace.as_deref().map(|text| path("namespace", text)).transpose()?;
        let no_token = |why: String| BackendError::NoToken { address: address.clone(), why };
        let token = match (&config.token_file, &config.token_env) {
            (Some(_), Some(_)) => return Err(setting("token_file", "`token_env` is set too; choose one")),
            (None, None) => return Err(no_token("neither `token_file` nor `token_env` is set".to_owned())),
            (Some(file), None) => {
                let file = home.join(file);
                read_token(&file)?;
                Token::File(file)
            }
            (None, Some(name)) => match remit_text::env::var(name) {
                Some(value) => {
                    let value = Zeroizing::new(value.into_string().unwrap_or_default());
                    if !is_token(value.trim()) {
                        return Err(no_token(format!("the variable {name} does not hold a token")));
                    }
                    Token::Value(Zeroizing::new(value.trim().to_owned()))
                }
                None => return Err(no_token(format!("the variable {}", remit_text::env::why_none(name)))),
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
        let engine = format!("sys/internal/ui/mounts/{mount}");
        Ok(Self { agent, address, namespace, token, timeout, engine })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// How the engine is looked at.
    pub(super) fn engine(&self) -> Call {
        Call::get(self.engine.clone())
    }

    /// Asks, and asks again while that may help, all within the configured time.
    pub(super) fn read(&self, call: &Call) -> Result<Answer, Failure> {
        let started = Instant::now();
        let left = || self.timeout.saturating_sub(started.elapsed());
        let (mut tries, mut pause) = (0, PAUSES.0);
        // What the server said before it said nothing any more, and whether it refused the token.
        let (mut said, mut refused) = (None, false);
        loop {
            let lost = match self.attempt(call, left()) {
                Ok(answer) if answer.status == 400 => {
                    Lost { why: self.refused(call, &answer), hope: Hope::Some }
                }
                Ok(answer) => return Ok(answer),
                Err(lost) => lost,
            };
            tries += 1;
            let wait = match lost.hope {
                Hope::None => None,
                Hope::Token => (!std::mem::replace(&mut refused, true)).then_some(PAUSES.0 * 4),
                Hope::Some => (tries < TRIES).then_some(pause),
                Hope::Soon(asked) => Some(asked.map_or(pause, |asked| asked.max(pause))),
            };
            let Some(wait) = wait.filter(|wait| *wait < left()) else {
                return Err(match lost.hope {
                    Hope::Token => self.denied(call, lost.why, left()),
                    Hope::Some => said.unwrap_or(lost.why),
                    Hope::None | Hope::Soon(_) => lost.why,
                });
            };
            tracing::debug!(path = call.path, "asking again");
            std::thread::sleep(wait);
            pause = PAUSES.1.min(pause * 2);
            if let Hope::Soon(_) = lost.hope {
                said = Some(lost.why);
            }
        }
    }

    /// Sends a change once: whether a lost one arrived cannot be known from here.
    pub(super) fn write(&self, call: &Call) -> Result<Answer, Failure> {
        let started = Instant::now();
        self.attempt(call, self.timeout).map_err(|lost| match lost.hope {
            Hope::Token => self.denied(call, lost.why, self.timeout.saturating_sub(started.elapsed())),
            _ => lost.why,
        })
    }

    fn attempt(&self, call: &Call, within: Duration) -> Result<Answer, Lost> {
        let definite = |why| Lost { why, hope: Hope::None };
        // An agent may be about to write it.
        let token = match self.token() {
            Err(why) if call.credentials => return Err(Lost { why, hope: Hope::Some }),
            token => token.ok(),
        };
        let request = self.request(call, token.as_ref().filter(|_| call.credentials)).map_err(definite)?;
        let response = match &call.body {
            Some(body) => self.send(request.body(body.as_slice()), within),
            None => self.send(request.body(()), within),
        };
        let mut response = response.map_err(|error| self.lost(&error))?;

        let status = response.status().as_u16();
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp()));
        let asks = retry_after(response.headers(), date);
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let read = response.body_mut().as_reader().take(MAX_ANSWER + 1).read_to_end(&mut body);
        let mut answer = match read {
            Ok(length) if length as u64 > MAX_ANSWER => {
                return Err(definite(Failure::Unavailable(format!(
                    "{} sent an endless answer",
                    self.address
                ))));
            }
            Ok(_) => Answer { status, date, body, words: String::new() },
            Err(error) => return Err(self.lost(&ureq::Error::from(error))),
        };
        if status >= 400 {
            let secrets = token.iter().map(|token| token.as_str());
            let secrets = secrets.chain(call.values.iter().map(|(_, value)| value));
            let words = words::shown(&wire::remarks(&answer.body), secrets);
            answer.words = words.map(|words| format!(": {words}")).unwrap_or_default();
        }
        let unavailable = |why: String| Failure::Unavailable(format!("{} {why}", self.address));
        let soon = |what: &str| {
            let alone =
                asks.map(|asks| format!("; it asks to be left alone for {asks:?}")).unwrap_or_default();
            let words = &answer.words;
            let why = unavailable(format!("answered with status {status}{what}{words}{alone}"));
            Lost { why, hope: Hope::Soon(asks) }
        };
        match status {
            400 if UPGRADING.iter().any(|words| answer.says(words)) => Err(soon("")),
            200..=299 | 400 | 404 => Ok(answer),
            300..=399 => Err(definite(unavailable(format!(
                "answered with a redirect ({status}), which is not followed: configure the address of the active server"
            )))),
            401 | 403 => Err(Lost { why: Failure::Denied(answer.words), hope: Hope::Token }),
            503 if answer.says("sealed") => Err(definite(sealed(&self.address))),
            429 => Err(soon(" (it is busy)")),
            408 | 412 | 500..=599 => Err(soon("")),
            _ => Err(definite(self.refused(call, &answer))),
        }
    }

    fn send<B: AsSendBody>(
        &self,
        request: Result<Request<B>, ureq::http::Error>,
        within: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        self.agent.run(self.agent.configure_request(request?).timeout_global(Some(within)).build())
    }

    fn token(&self) -> Result<Zeroizing<String>, Failure> {
        match &self.token {
            Token::Value(value) => Ok(value.clone()),
            Token::File(file) => {
                read_token(file).map_err(|error| Failure::Denied(format!("the host has no token: {error}")))
            }
        }
    }

    /// Everything but the body.
    fn request(&self, call: &Call, token: Option<&Zeroizing<String>>) -> Result<Builder, Failure> {
        let query = call.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}/v1/{}{query}", self.address, call.path))
            .header("X-Vault-Request", "true");
        if let Some(token) = token {
            let mut token = HeaderValue::from_str(token).map_err(|_| {
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
        Lost { why: Failure::Unavailable(format!("{}: {why}", self.address)), hope: Hope::Some }
    }

    /// What a refusal of the token means, which said no more than `words`. It is looked up, so that a policy is not
    /// blamed for a token that is gone, nor a token for a policy.
    fn denied(&self, call: &Call, words: Failure, within: Duration) -> Failure {
        let Failure::Denied(words) = words else { return words };
        let credential = match &self.token {
            Token::File(file) => format!("the token in {}", file.display()),
            Token::Value(_) => "the host's token".to_owned(),
        };
        let until = Instant::now() + within;
        let counts = [Call::get(LOOKUP.to_owned()), self.engine()].iter().any(|look| {
            self.attempt(look, until.saturating_duration_since(Instant::now()))
                .is_ok_and(|found| found.status < 300)
        });
        let why = if counts {
            "the token counts, and"
        } else {
            "it expired or was revoked, is another server's, or"
        };
        let lacks = format!("its policy lacks [{}] on \"{}\"", call.needs(), call.path);
        // That it was refused is said already.
        let words = if words.to_ascii_lowercase().contains("permission denied") { "" } else { &*words };
        Failure::Denied(format!("{} refused {credential}: {why} {lacks}{words}", self.address))
    }

    /// A definite no for reasons that are the request's.
    pub(super) fn refused(&self, call: &Call, answer: &Answer) -> Failure {
        let (method, path, words) = (&call.method, &call.path, &answer.words);
        let status = answer.status;
        Failure::Invalid(format!(
            "{} does not accept a {method} of {path} (status {status}){words}",
            self.address
        ))
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

/// A path of the server's own in the one form that requests have: slashes at its ends mean nothing.
pub(super) fn path(name: &'static str, text: &str) -> Result<String, BackendError> {
    let path = text.trim_matches('/');
    match Resource::new(name, path) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(BackendError::Setting { setting: name, why: error.why().to_owned() }),
    }
}

/// How long a server asks to be left alone: seconds, or until a date, which is held against the server's own clock.
fn retry_after(headers: &HeaderMap, date: Option<Timestamp>) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(date?)).ok()
        }
    }
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
    if !uri.path().trim_matches('/').is_empty() || uri.query().is_some() {
        return Err(setting("address", "it has a path; write https://HOST:PORT only"));
    }
    if authority.host().is_empty() {
        return Err(setting("address", "it has no host; write https://HOST:PORT"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let here =
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
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
    // Group access is common: an agent writes the file, Remit reads it.
    if let Some(mode) = read.exposed().filter(|mode| mode & 0o007 != 0) {
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
