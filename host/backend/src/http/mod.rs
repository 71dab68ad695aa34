//! HTTP to a system that serves many domains or one: TLS, the token, time-outs, limits, retries of reads, and errors
//! without secrets. What is particular to a system's API is its [`Api`].
//!
//! Calls block: run them on a thread that may.

mod call;
mod token;

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use remit_gate::Failure;
use remit_http::MAX_ANSWER;
use remit_text::{Address, AddressError};
use remit_trust::SecretText;
use ureq::http::request::Builder;
use ureq::http::{HeaderName, HeaderValue, Request, Response};
use ureq::{Agent, AsSendBody, Body};
use zeroize::Zeroizing;

use crate::error::BackendError;
pub(crate) use call::{Answer, Call};
use token::Token;

/// How long to wait before a read is tried again: at first, and at most. It doubles each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often a read is tried where nothing says that it will get better.
const TRIES: u32 = 3;
/// The longest time-out that can be configured.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// The settings that all HTTP systems have in `remit.toml`. Paths are relative to Remit's home.
pub(crate) struct Settings<'a> {
    pub(crate) address: &'a str,
    pub(crate) token_file: Option<&'a Path>,
    pub(crate) token_env: Option<&'a str>,
    /// The CA that is trusted in place of the public ones.
    pub(crate) ca_file: Option<&'a Path>,
    /// What one read or write may take in all, tries and pauses included.
    pub(crate) timeout: SignedDuration,
}

/// What is particular to the API of a system.
pub(crate) trait Api: Send + Sync + 'static {
    /// What the path of every call begins with, slashes included: `/v1/`.
    fn base(&self) -> &str;

    /// The header that carries the token, and its value.
    fn credential(&self, token: &SecretText) -> (HeaderName, String);

    /// Headers besides, for a call with or without the token.
    fn headers(&self, with_token: bool) -> Vec<(HeaderName, String)>;

    /// The errors and warnings in a body: the server's own words.
    fn remarks(&self, body: &[u8]) -> Vec<String>;

    /// What an answer means, where the system says more than HTTP does.
    fn meaning(&self, answer: &Answer) -> Meaning {
        Meaning::of(answer.status)
    }

    /// Calls that succeed with a token that counts, whatever it may do: they tell a token that is gone from one that
    /// may not do something.
    fn probes(&self) -> Vec<Call>;

    /// What a token that counts lacks if the server refuses it this call.
    fn lacks(&self, call: &Call) -> String;
}

/// What an answer means for the call.
pub(crate) enum Meaning {
    /// The caller looks at the status: 2xx, 400 or 404 by HTTP alone.
    Answered,
    /// The request is not accepted, and will not be.
    Refused,
    /// The token is not accepted.
    Denied,
    /// The answer may be different soon.
    Later,
    /// The system cannot be used, and a person must do something: what.
    Unavailable(&'static str),
    /// A redirect. It is not followed, because the token would be sent to the redirect's target.
    Redirect,
}

impl Meaning {
    /// By HTTP alone. 409 and 412 are for an API that uses them to say otherwise.
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=299 | 400 | 404 => Self::Answered,
            300..=399 => Self::Redirect,
            401 | 403 => Self::Denied,
            408 | 429 | 500..=599 => Self::Later,
            _ => Self::Refused,
        }
    }
}

/// A connection to one system.
pub(crate) struct Client<A> {
    agent: Agent,
    /// `https://HOST:PORT`, without a slash at the end.
    address: String,
    token: Token,
    timeout: Duration,
    api: A,
}

/// Why an attempt failed, and whether another might do better.
struct Lost {
    why: Failure,
    hope: Hope,
}

impl Lost {
    /// Another attempt would not do better.
    fn definite(why: Failure) -> Self {
        Self { why, hope: Hope::None }
    }
}

/// What is to be expected of another attempt.
#[derive(Clone, Copy)]
enum Hope {
    /// The same failure: another attempt is of no use.
    None,
    /// Perhaps something else: nothing says so.
    Some,
    /// Something else: the server says that it will be, and perhaps how long it asks to be left alone.
    Soon(Option<Duration>),
    /// A token may be known only a moment after it was made, and be exchanged at any moment.
    Token,
}

impl<A: Api> Client<A> {
    /// Checks the settings and reads token and CA; does not contact the server.
    pub(crate) fn open(settings: &Settings<'_>, home: &Path, api: A) -> Result<Self, BackendError> {
        let address = Address::of_origin(settings.address).map_err(|error| match error {
            AddressError::Plaintext => BackendError::Plaintext { address: settings.address.to_owned() },
            AddressError::Malformed(why) => BackendError::setting("address", why),
        })?;
        let timeout = Duration::try_from(settings.timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= MAX_TIMEOUT)
            .ok_or_else(|| BackendError::setting("timeout", "it must be over 0 and at most 5m"))?;
        let token = Token::open(settings.token_file, settings.token_env, home, &address)?;
        let ca_file = settings.ca_file.map(|file| home.join(file));
        let agent = remit_http::config(ca_file.as_deref())
            .map_err(|source| BackendError::File { what: "the CA file", source })?
            .build()
            .new_agent();
        Ok(Self { agent, address, token, timeout, api })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn api(&self) -> &A {
        &self.api
    }

    /// Asks, and asks again while that may help, all within the configured time.
    pub(crate) fn read(&self, call: &Call) -> Result<Answer, Failure> {
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
    pub(crate) fn write(&self, call: &Call) -> Result<Answer, Failure> {
        let started = Instant::now();
        self.attempt(call, self.timeout).map_err(|lost| match lost.hope {
            Hope::Token => self.denied(call, lost.why, self.timeout.saturating_sub(started.elapsed())),
            _ => lost.why,
        })
    }

    /// A definite no for reasons that are the request's.
    pub(crate) fn refused(&self, call: &Call, answer: &Answer) -> Failure {
        let (method, path, words) = (&call.method, &call.path, &answer.words);
        let status = answer.status;
        Failure::Invalid(format!(
            "{} does not accept a {method} of {path} (status {status}){words}",
            self.address
        ))
    }

    /// The answer is not what was asked for: what was.
    pub(crate) fn garbage(&self, wanted: &str) -> Failure {
        self.unavailable(&format!("answered with something that is not {wanted}"))
    }

    pub(crate) fn unavailable(&self, why: &str) -> Failure {
        Failure::Unavailable(format!("{} {why}", self.address))
    }

    fn attempt(&self, call: &Call, within: Duration) -> Result<Answer, Lost> {
        // A token file that cannot be read may be about to be written by an agent.
        let token = match self.token.get() {
            Err(why) if call.credentials => return Err(Lost { why, hope: Hope::Some }),
            token => token.ok(),
        };
        let request =
            self.request(call, token.as_ref().filter(|_| call.credentials)).map_err(Lost::definite)?;
        let response = match &call.body {
            Some(body) => self.send(request.body(body.as_slice()), within),
            None => self.send(request.body(()), within),
        };
        let mut response = response.map_err(|error| self.lost(&error))?;

        let status = response.status().as_u16();
        let date = remit_http::date(response.headers());
        let asks = remit_http::retry_after(response.headers());
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let read = response.body_mut().as_reader().take(MAX_ANSWER + 1).read_to_end(&mut body);
        let length = read.map_err(|error| self.lost(&ureq::Error::from(error)))?;
        if length as u64 > MAX_ANSWER {
            return Err(Lost::definite(self.unavailable("sent an endless answer")));
        }
        let mut answer = Answer { status, date, body, remarks: Vec::new(), words: String::new() };
        if status >= 400 {
            answer.remarks = self.api.remarks(&answer.body);
            // The token too, where it was not sent: the server may know it.
            let secrets = token.iter().chain(&call.secrets).map(SecretText::expose);
            let words = remit_http::shown(&answer.remarks, secrets);
            answer.words = words.map(|words| format!(": {words}")).unwrap_or_default();
        }
        match self.api.meaning(&answer) {
            Meaning::Answered => Ok(answer),
            Meaning::Refused => Err(Lost::definite(self.refused(call, &answer))),
            Meaning::Denied => Err(Lost { why: Failure::Denied(answer.words), hope: Hope::Token }),
            Meaning::Unavailable(why) => Err(Lost::definite(self.unavailable(why))),
            Meaning::Redirect => Err(Lost::definite(self.unavailable(&format!(
                "answered with a redirect ({status}), which is not followed: configure the address of the active server"
            )))),
            Meaning::Later => {
                let busy = if status == 429 { " (it is busy)" } else { "" };
                let alone =
                    asks.map(|asks| format!("; it asks to be left alone for {asks:?}")).unwrap_or_default();
                let why = format!("answered with status {status}{busy}{}{alone}", answer.words);
                Err(Lost { why: self.unavailable(&why), hope: Hope::Soon(asks) })
            }
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
    fn request(&self, call: &Call, token: Option<&SecretText>) -> Result<Builder, Failure> {
        let query = call.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = Request::builder().method(call.method.clone()).uri(format!(
            "{}{}{}{query}",
            self.address,
            self.api.base(),
            call.path
        ));
        if let Some(token) = token {
            let (name, value) = self.api.credential(token);
            let value = Zeroizing::new(value);
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                Failure::Denied("the host's token has characters that no token has".to_owned())
            })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        for (name, value) in self.api.headers(token.is_some()) {
            request = request.header(name, value);
        }
        if call.body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        Ok(request)
    }

    fn lost(&self, error: &ureq::Error) -> Lost {
        let why = remit_http::why_none(error, self.timeout);
        Lost { why: Failure::Unavailable(format!("{}: {why}", self.address)), hope: Hope::Some }
    }

    /// What a refusal of the token means, which said no more than `words`. It is looked up, so that a policy is not
    /// blamed for a token that is gone, nor a token for a policy.
    fn denied(&self, call: &Call, words: Failure, within: Duration) -> Failure {
        let Failure::Denied(words) = words else { return words };
        let until = Instant::now() + within;
        let counts = self.api.probes().iter().any(|probe| {
            self.attempt(probe, until.saturating_duration_since(Instant::now()))
                .is_ok_and(|found| found.status < 300)
        });
        let why = if counts {
            "the token counts, and"
        } else {
            "it expired or was revoked, is another server's, or"
        };
        // That it was refused is said already.
        let words = if words.to_ascii_lowercase().contains("permission denied") { "" } else { &*words };
        Failure::Denied(format!(
            "{} refused {}: {why} {}{words}",
            self.address,
            self.token.name(),
            self.api.lacks(call)
        ))
    }
}
