//! A request with variables: what may be sent, once they are filled.

mod fit;
mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod text;
mod variables;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

pub(crate) use fit::{Fitted, Misfit};
pub(crate) use text::{Part, Text, Variable, is_name};
pub(crate) use variables::Variables;

/// A request that a connector may send: `DELETE /tokens/{id}`, with all else that is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub(crate) method: Method,
    pub(crate) path: Vec<Segment>,
    pub(crate) query: BTreeMap<String, Text>,
    pub(crate) headers: BTreeMap<String, Text>,
    pub(crate) body: Option<Body>,
    /// The sealed argument that is the request's credential.
    pub(crate) credential: Option<String>,
    text: String,
}

/// The methods that a connector may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Segment {
    Text(Text),
    /// `*`: any one.
    One,
    /// `**`: any one or more, at the end.
    Rest,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Json(Json),
    Form(BTreeMap<String, Text>),
}

/// JSON with variables in its texts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Exact(Value),
    Text(Text),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Method {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

impl fmt::Display for Template {
    /// As it is written, on one line: `POST /tokens/revoke json {"id":"{id}"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// The request with all that is in it, on one line: `POST /tokens/revoke json {"id":"{id}"}`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its method is `GET` or `HEAD`, which by HTTP's definition change nothing.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    pub(crate) fn all_texts(&self) -> impl Iterator<Item = &Text> {
        let (outside, inside) = self.texts();
        outside.into_iter().chain(inside)
    }

    /// Its texts outside of the body, and those of the body.
    pub(crate) fn texts(&self) -> (Vec<&Text>, Vec<&Text>) {
        let path = self.path.iter().filter_map(|segment| match segment {
            Segment::Text(text) => Some(text),
            Segment::One | Segment::Rest => None,
        });
        let outside = path.chain(self.query.values()).chain(self.headers.values()).collect();
        let mut inside = Vec::new();
        match &self.body {
            Some(Body::Json(json)) => json.texts(&mut inside),
            Some(Body::Form(form)) => inside.extend(form.values()),
            None => {}
        }
        (outside, inside)
    }
}

impl Json {
    fn texts<'a>(&'a self, into: &mut Vec<&'a Text>) {
        match self {
            Self::Exact(_) => {}
            Self::Text(text) => into.push(text),
            Self::Array(items) => items.iter().for_each(|item| item.texts(into)),
            Self::Object(members) => members.values().for_each(|member| member.texts(into)),
        }
    }
}
