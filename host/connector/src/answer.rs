//! What of an answer a connector sees: no secret that its description declares, and none that the host sent.

use remit_gate::Failure;
use remit_trust::SecretText;
use serde_json::Value;
use ureq::http::HeaderMap;
use zeroize::Zeroizing;

use crate::client::Incoming;
use crate::{Function, Placeholders, Response, placeholder};
use remit_text::uri_part;

/// The headers that every connector may see.
const HEADERS: [&str; 8] =
    ["allow", "content-type", "date", "etag", "last-modified", "link", "location", "retry-after"];
/// A shorter secret is masked only where it is all of a text: in others it would be found everywhere.
const SHORTEST: usize = 4;
/// What stands in place of a secret that the host sent.
const MASK: &str = "…";

/// What must not be shown: each text, and what is shown in its place.
pub(crate) struct Masks(Vec<(Zeroizing<String>, String)>);

impl Masks {
    pub(crate) fn new(placeholders: &Placeholders, sent: &[SecretText]) -> Self {
        let mut masks = Vec::new();
        let known = placeholders.texts().into_iter().map(|(placeholder, secret)| (secret, placeholder));
        let sent = sent.iter().map(|secret| (Zeroizing::new(secret.expose().to_owned()), MASK.to_owned()));
        for (secret, shown) in known.chain(sent).filter(|(secret, _)| !secret.is_empty()) {
            // As servers write it that say again what they were sent.
            let quoted = Zeroizing::new(serde_json::to_string(&*secret).unwrap_or_default());
            let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
            let forms = [uri_part(&secret), inner.to_owned(), inner.replace('/', "\\/"), html(&secret)];
            masks.extend(forms.map(|form| (Zeroizing::new(form), shown.clone())));
            masks.push((secret, shown));
        }
        // The longest first: a secret can be part of another.
        masks.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.as_str().cmp(b)));
        masks.dedup_by(|(a, _), (b, _)| a == b);
        Self(masks)
    }

    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|(secret, _)| has(text, secret))
    }

    /// Whether one is in a text of a value, or in the name of a member.
    pub(crate) fn are_in_json(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.are_in(text),
            Value::Number(number) => self.are_in(&number.to_string()),
            Value::Array(items) => items.iter().any(|item| self.are_in_json(item)),
            Value::Object(members) => {
                members.iter().any(|(name, value)| self.are_in(name) || self.are_in_json(value))
            }
            Value::Null | Value::Bool(_) => false,
        }
    }

    /// The text with what is shown in place of each secret.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        for (secret, shown) in &self.0 {
            if has(&hidden, secret) {
                hidden = hidden.replace(secret.as_str(), shown);
            }
        }
        hidden
    }

    /// Hides in every text of a value, names of members too. Whether there was something to hide.
    fn hide_in_all(&self, value: &mut Value) -> bool {
        // In most answers there is nothing, which one look at the whole tells.
        let has_short = self.0.iter().any(|(secret, _)| secret.len() < SHORTEST);
        (has_short || self.are_in(&Zeroizing::new(value.to_string()))) && self.hide_in(value)
    }

    fn hide_in(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let found = self.are_in(text);
                if found {
                    *text = self.hide(text);
                }
                found
            }
            Value::Number(number) => {
                let text = number.to_string();
                let found = self.0.iter().any(|(secret, _)| **secret == text);
                if found {
                    *value = Value::String(self.hide(&text));
                }
                found
            }
            Value::Array(items) => items.iter_mut().fold(false, |found, item| self.hide_in(item) | found),
            Value::Object(members) => {
                let mut found = false;
                for (name, mut value) in std::mem::take(members) {
                    found |= self.are_in(&name) | self.hide_in(&mut value);
                    members.insert(self.hide(&name), value);
                }
                found
            }
            Value::Null | Value::Bool(_) => false,
        }
    }
}

fn has(text: &str, secret: &str) -> bool {
    if secret.len() < SHORTEST { text == secret } else { text.contains(secret) }
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What the connector sees of an answer.
///
/// A body that cannot be looked through is not shown: of an answer that is an error, the status is; any other is a failure.
pub(crate) fn conceal(
    answer: Incoming,
    function: &Function,
    placeholders: &Placeholders,
    sent: &[SecretText],
    origin: &str,
) -> Result<Response, Failure> {
    let status = answer.status;
    let body = match shown_body(&answer, function, placeholders, sent) {
        Ok(body) => body,
        Err(Unseen::Why(why)) if (200..300).contains(&status) => {
            return Err(Failure::Unavailable(format!("{origin} answered with status {status} and {why}")));
        }
        Err(Unseen::Why(_)) => Vec::new(),
        Err(Unseen::Failure(failure)) => return Err(failure),
    };
    let masks = Masks::new(placeholders, sent);
    Ok(Response { status, headers: headers(&answer.headers, function, &masks), body })
}

enum Unseen {
    Why(&'static str),
    Failure(Failure),
}

fn shown_body(
    answer: &Incoming,
    function: &Function,
    placeholders: &Placeholders,
    sent: &[SecretText],
) -> Result<Vec<u8>, Unseen> {
    if answer.body.is_empty() {
        return Ok(Vec::new());
    }
    if !is_utf8(&answer.headers) {
        return Err(Unseen::Why("a body that is not in UTF-8"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| Unseen::Why("a body that is not in UTF-8"))?;
    let Ok(mut value) = remit_text::json::read::<Value>(text) else {
        if !function.secrets().is_empty() {
            return Err(Unseen::Why("a body that is not JSON, in which secrets would be found"));
        }
        let masks = Masks::new(placeholders, sent);
        return Ok(masks.hide(text).into_bytes());
    };
    let mut hidden = false;
    let mut failed = None;
    for pointer in function.secrets() {
        pointer.each(&mut value, &mut |found| {
            hidden = true;
            if let Err(failure) = placeholders.hide(found) {
                failed.get_or_insert(failure);
            }
        });
    }
    if let Some(failure) = failed {
        return Err(Unseen::Failure(failure));
    }
    // The same secret may be in another place too.
    hidden |= Masks::new(placeholders, sent).hide_in_all(&mut value);
    Ok(if hidden { value.to_string().into_bytes() } else { answer.body.to_vec() })
}

/// Whether an answer does not say that it is in another character set.
fn is_utf8(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get("content-type") else { return true };
    let Ok(kind) = kind.to_str() else { return false };
    kind.to_ascii_lowercase().split(';').skip(1).all(|parameter| match parameter.trim().split_once('=') {
        Some(("charset", set)) => matches!(set.trim().trim_matches('"'), "utf-8" | "utf8" | "us-ascii"),
        _ => true,
    })
}

fn headers(all: &HeaderMap, function: &Function, masks: &Masks) -> Vec<(String, String)> {
    let is_shown = |name: &str| {
        HEADERS.contains(&name)
            || name.starts_with("ratelimit")
            || name.starts_with("x-ratelimit-")
            || function.response_headers().iter().any(|declared| declared == name)
    };
    all.iter()
        .filter(|(name, _)| is_shown(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .filter(|(_, value)| !masks.are_in(value) && !placeholder::is_in(value))
        .collect()
}
