//! An origin that answers from a fixture in place of the network, so that a connector can be tested offline.
//!
//! ```toml
//! [[exchange]]
//! send = "DELETE /orgs/acme/tokens/42"     # method, and path and query as they are sent
//! json = { reason = "it leaked" }          # or body = "…"; neither for a request without a body
//! with = { if-match = "6" }                # headers; not compared where they are left out
//! credential = "token"                     # the sealed argument as which it is sent, if it is not sent as the origin's own
//! status = 200
//! headers = { etag = "7" }
//! answer = { state = "off" }               # or text = "…"
//! ```
//!
//! An [`Origin::recording`](crate::Origin::recording) keeps what really happened, as the connector saw it: secrets of the origin are
//! placeholders in it, and a sealed argument is its handle. Replayed, the value of a sealed argument is in its place: write the
//! one of the test there.
//!
//! `lost = true` in place of `status` is a request that is never answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_gate::Failure;
use remit_text::Mistake;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::Response;
use crate::client::{Incoming, Lost, Outgoing};

/// Requests in order, and what is answered to each.
#[derive(Debug, Default)]
pub struct Replay {
    always: Option<(u16, Vec<u8>)>,
    at: Mutex<At>,
}

#[derive(Debug, Default)]
struct At {
    exchanges: Vec<Recorded>,
    next: usize,
    /// The first request that was another than the fixture's.
    other: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    #[serde(default)]
    exchange: Vec<Spanned<Recorded>>,
}

/// One request, and what was answered to it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    send: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    with: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Whether a fixture has a header: what only says how bodies are written is the host's to check.
fn is_compared(name: &str) -> bool {
    !matches!(name, "accept" | "accept-language" | "content-type")
}

/// A body as JSON that TOML can write, or as text.
fn written(body: &[u8]) -> (Option<Value>, Option<String>) {
    let json = serde_json::from_slice::<Value>(body).ok();
    let json =
        json.filter(|json| remit_text::json::canonical(json).is_ok() && toml::Value::try_from(json).is_ok());
    let text = json.is_none().then(|| String::from_utf8_lossy(body).into_owned());
    (json, text.filter(|text| !text.is_empty()))
}

impl Replay {
    /// Reads a fixture. A mistake shows its line.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let fixture: Fixture = remit_text::toml::read_exact(text)?;
        let mut exchanges = Vec::new();
        for exchange in fixture.exchange {
            exchange.get_ref().check().map_err(|why| Mistake::new(text, exchange.span(), why))?;
            exchanges.push(exchange.into_inner());
        }
        let replay = Self::default();
        replay.begin(exchanges);
        Ok(replay)
    }

    /// Begins anew with these, which are of another phase. What was left of the last ones is forgotten: ask
    /// [`Self::finished`] first.
    pub fn begin(&self, exchanges: Vec<Recorded>) {
        *self.at() = At { exchanges, next: 0, other: None };
    }

    /// Answers everything with the same: what an exchange costs and survives, without the network.
    #[must_use]
    pub fn always(status: u16, body: &[u8]) -> Self {
        Self { always: Some((status, body.to_vec())), ..Self::default() }
    }

    /// Whether all that the fixture has was asked for, and nothing else; if not, what is different.
    pub fn finished(&self) -> Result<(), String> {
        let at = self.at();
        match (&at.other, at.exchanges.get(at.next)) {
            (Some(other), _) => Err(other.clone()),
            (None, Some(next)) => Err(format!("`{}` was not sent", next.send)),
            (None, None) => Ok(()),
        }
    }

    pub(crate) fn answer(&self, request: &Outgoing<'_>) -> Result<Incoming, Lost> {
        if let Some((status, body)) = &self.always {
            let body = Zeroizing::new(body.clone());
            return Ok(Incoming { status: *status, headers: HeaderMap::new(), body });
        }
        let mut at = self.at();
        let sent = format!("{} {}", request.method, request.target);
        let other = match at.exchanges.get(at.next) {
            None => Some(format!("`{sent}` was sent, and the fixture has nothing more")),
            Some(next) if next.send != sent => {
                Some(format!("`{sent}` was sent, and the fixture has `{}`", next.send))
            }
            Some(next) => next.differs(request).map(|how| format!("`{sent}` was sent {how}")),
        };
        if let Some(other) = other {
            at.other.get_or_insert_with(|| other.clone());
            return Err(Lost::Useless(Failure::Invalid(other)));
        }
        let found = at.exchanges[at.next].clone();
        at.next += 1;
        found.incoming()
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    /// What a connector sent and saw; without an answer, it is lost. `request` has the body as the connector gave it.
    pub(crate) fn of(request: &Outgoing<'_>, seen: Option<&Response>) -> Self {
        let (json, body) = request.body.map(written).unwrap_or_default();
        let (answer, text) = seen.map(|seen| written(&seen.body)).unwrap_or_default();
        let headers = seen.map(|seen| seen.headers.iter().cloned().collect()).unwrap_or_default();
        Self {
            send: format!("{} {}", request.method, request.target),
            with: request.bound.iter().filter(|(name, _)| is_compared(name)).cloned().collect(),
            credential: request.sent_as.map(ToOwned::to_owned),
            body,
            status: seen.map(|seen| seen.status),
            lost: seen.is_none(),
            text,
            json,
            headers,
            answer,
        }
    }

    /// Writes every text anew: a handle can be replaced by what stands for it in a fixture.
    pub fn each_text(&mut self, write: &impl Fn(&str) -> String) {
        fn each(value: &mut Value, write: &impl Fn(&str) -> String) {
            match value {
                Value::String(text) => *text = write(text),
                Value::Array(items) => items.iter_mut().for_each(|item| each(item, write)),
                Value::Object(members) => members.values_mut().for_each(|member| each(member, write)),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let texts = [&mut self.body, &mut self.text].into_iter().flatten();
        let texts = texts.chain(self.with.values_mut()).chain(self.headers.values_mut());
        texts.for_each(|text| *text = write(text));
        [&mut self.json, &mut self.answer].into_iter().flatten().for_each(|value| each(value, write));
    }

    /// Whether it can be replayed; if not, what is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        let headers = self.headers.iter();
        let mut headers = headers
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)));
        match self {
            Self { json: Some(_), body: Some(_), .. } => Err("a request has `json` or `body`, not both"),
            Self { answer: Some(_), text: Some(_), .. } => Err("an answer is `answer` or `text`, not both"),
            Self { status: None, lost: false, .. } => Err("say its `status`, or `lost = true`"),
            Self { status: Some(_), lost: true, .. } => Err("a request that is lost has no `status`"),
            Self { status: Some(status), .. } if !(200..600).contains(status) => {
                Err("there is no such status")
            }
            _ if headers.any(|(name, value)| name.is_err() || value.is_err()) => {
                Err("a header's name or value has other characters")
            }
            _ => Ok(()),
        }
    }

    /// How a request is another than this one, of the same method, path and query.
    fn differs(&self, request: &Outgoing<'_>) -> Option<String> {
        let none = || "nothing".to_owned();
        if let Some((name, value)) =
            self.with.iter().find(|pair| !request.bound.contains(&(pair.0.clone(), pair.1.clone())))
        {
            let found = request.bound.iter().find(|(known, _)| known == name);
            let found = found.map_or_else(none, |(_, value)| value.clone());
            return Some(format!("with another header `{name}`:\n- {value}\n+ {found}"));
        }
        if self.credential.as_deref() != request.sent_as {
            let whose = |of: Option<&str>| match of {
                Some(name) => format!("the sealed argument `{name}`"),
                None => "the credential of the entry".to_owned(),
            };
            let (wanted, found) = (whose(self.credential.as_deref()), whose(request.sent_as));
            return Some(format!("as another:\n- {wanted}\n+ {found}"));
        }
        let sent = request.body.map(|body| String::from_utf8_lossy(body).into_owned());
        let same = match (&self.json, &self.body, &sent) {
            (Some(json), _, Some(sent)) => {
                serde_json::from_str::<Value>(sent).is_ok_and(|sent| sent == *json)
            }
            (None, Some(text), Some(sent)) => text == sent,
            (None, None, None) => true,
            _ => false,
        };
        if same {
            return None;
        }
        let wanted = self.json.as_ref().map(Value::to_string).or_else(|| self.body.clone());
        let (wanted, found) = (wanted.unwrap_or_else(none), sent.unwrap_or_else(none));
        Some(format!("with another body:\n- {wanted}\n+ {found}"))
    }

    fn incoming(&self) -> Result<Incoming, Lost> {
        let Some(status) = self.status else {
            return Err(Lost::Unknown(Failure::Unavailable("the fixture has no answer to it".to_owned())));
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            // Checked when the fixture was read.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        }
        let body = match (&self.answer, &self.text) {
            (Some(json), _) => json.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        Ok(Incoming { status, headers, body: Zeroizing::new(body.into_bytes()) })
    }
}
