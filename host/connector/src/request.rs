//! What a connector asks to be sent, and what it is answered.

use std::borrow::Cow;

use remit_text::uri_part;

use crate::template::Method;

/// The longest body, in bytes, each way.
pub(crate) const MAX_BODY: usize = 1 << 20;
/// The longest segment, name or value, in bytes.
const MAX_TEXT: usize = 4096;
/// How many segments, pairs and headers a request may have.
const MAX_PARTS: usize = 100;

/// A request, as the connector gives it: nothing is encoded.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The segments of the path.
    pub path: Vec<String>,
    /// The pairs of the query.
    pub query: Vec<(String, String)>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body, at most 1 MiB; none for a request without one.
    pub body: Option<Vec<u8>>,
    /// The handle of the sealed argument that is sent as the credential.
    pub credential: Option<String>,
}

/// What the origin answered, without what the connector may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status: `404`.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body, with placeholders where the description declares secrets.
    pub body: Vec<u8>,
}

/// A request whose parts can be sent: whether it may be is for the templates.
pub(crate) struct Read<'a> {
    pub(crate) of: &'a Request,
    pub(crate) method: Method,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    /// Checks the form. An error says what is wrong without quoting a value.
    pub(crate) fn read(&self) -> Result<Read<'_>, String> {
        let Some(method) = Method::parse(&self.method) else {
            return Err("its method is not one that a connector may use".to_owned());
        };
        let parts = self.path.len().max(self.query.len()).max(self.headers.len());
        if parts > MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} segments, pairs or headers"));
        }
        let last = self.path.len().saturating_sub(1);
        for (at, segment) in self.path.iter().enumerate() {
            // A path may end in a slash, where a template does.
            if segment.is_empty() && at == last && at > 0 {
                continue;
            }
            can_be_segment(segment).map_err(|why| format!("segment {} of its path {why}", at + 1))?;
        }
        if !self.query.iter().all(|(name, value)| can_be_text(name) && can_be_text(value)) {
            return Err("its query has control characters in it, or is too long".to_owned());
        }
        if self.body.as_ref().is_some_and(|body| body.len() > MAX_BODY) {
            return Err("its body is longer than 1 MiB".to_owned());
        }
        let mut headers: Vec<(String, String)> = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            let is_value = |b: u8| b.is_ascii_graphic() || b == b' ';
            let form = !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(is_value);
            if !form || name.len() > MAX_TEXT || value.len() > MAX_TEXT {
                return Err("a header's name or value has other characters, or is too long".to_owned());
            }
            if is_of_the_host(&name) {
                return Err(format!("the header `{name}` is the host's"));
            }
            if headers.iter().any(|(known, _)| *known == name) {
                return Err("a header is there twice".to_owned());
            }
            headers.push((name, value.trim().to_owned()));
        }
        Ok(Read { of: self, method, headers })
    }

    /// The path and the query, encoded.
    pub(crate) fn target(&self) -> String {
        let segments: Vec<Cow<'_, str>> = self.path.iter().map(|segment| uri_part(segment).into()).collect();
        let mut target = format!("/{}", segments.join("/"));
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&joined(&self.query));
        }
        target
    }
}

/// Whether a header is set by the host alone: what makes the connection, the message's length, and who asks; and those by which
/// some servers take another method, host or address for that of the request.
pub(crate) fn is_of_the_host(name: &str) -> bool {
    let names = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "cookie2",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    ];
    // Some servers take `_` for `-`.
    let name = name.replace('_', "-");
    names.contains(&name.as_str())
        || name.starts_with("proxy-")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
        || name.starts_with("x-rewrite-")
        || name.contains("method-override")
        || name == "x-http-method"
        || name == "x-host"
}

/// Whether a text can be one segment of a path, once it is encoded. What some servers would read as another path is refused.
pub(crate) fn can_be_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() {
        return Err("is empty");
    }
    if !can_be_text(segment) {
        return Err("has control characters in it, or is too long");
    }
    for part in segment.split(['/', '\\']) {
        // What comes after a semicolon is dropped by some servers.
        let name = part.split(';').next().unwrap_or_default().trim();
        if matches!(name, "" | "." | "..") {
            return Err("leads to another folder, or has nothing between two slashes");
        }
    }
    let bytes = segment.as_bytes();
    if bytes.windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit()) {
        return Err("is encoded already: the host encodes it");
    }
    Ok(())
}

/// Whether a text can be sent outside of a body.
pub(crate) fn can_be_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains(char::is_control)
}

/// Whether a `Content-Type` is one of JSON, in UTF-8.
pub(crate) fn is_json_type(value: &str) -> bool {
    let (kind, rest) = value.split_once(';').map_or((value, None), |(kind, rest)| (kind, Some(rest)));
    let kind = kind.trim().to_ascii_lowercase();
    let json = kind == "application/json"
        || (kind.starts_with("application/") && kind.ends_with("+json"))
        || kind.starts_with("application/x-amz-json-1.");
    json && rest.is_none_or(|rest| {
        rest.trim()
            .to_ascii_lowercase()
            .replace('"', "")
            .strip_prefix("charset=")
            .is_some_and(|set| set == "utf-8")
    })
}

/// Pairs of a query or a form, encoded.
pub(crate) fn joined(pairs: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}={}", uri_part(name), uri_part(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}
