//! Reading a template: `"GET /tokens/{id}"`, or a table with `send` and what else is in the request.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::text::is_name;
use super::{Body, Json, Method, Segment, Template, Text};
use crate::pointer::shown;
use crate::request::{can_be_segment, can_be_text, is_of_the_host};

/// The longest template, in bytes, as it is shown.
const LONGEST: usize = 4096;
/// The deepest JSON in a template.
const DEEPEST: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    send: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    credential: Option<String>,
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Template;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a template: \"GET /a/{b}\", or { send = \"POST /a\", json = {…} }")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Template, E> {
                let full = Full {
                    send: text.to_owned(),
                    query: BTreeMap::new(),
                    headers: BTreeMap::new(),
                    json: None,
                    form: None,
                    credential: None,
                };
                full.template().map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Template, A::Error> {
                let full = Full::deserialize(MapAccessDeserializer::new(map))?;
                full.template().map_err(A::Error::custom)
            }
        }
        from.deserialize_any(Either)
    }
}

impl Full {
    fn template(self) -> Result<Template, String> {
        let text = self.shown();
        if text.len() > LONGEST {
            return Err(format!("the template is longer than {LONGEST} bytes"));
        }
        let Some((method, path)) = self.send.split_once(' ') else {
            return Err(format!("`{}` is not a request: write it like GET /a/{{b}}", shown(&self.send)));
        };
        let Some(method) = Method::parse(method) else {
            return Err(format!(
                "`{}` is not a method that a connector may use: GET, HEAD, POST, PUT, PATCH or DELETE",
                shown(method)
            ));
        };
        let body = match (self.json, self.form) {
            (Some(_), Some(_)) => return Err("a request has `json` or `form`, not both".to_owned()),
            (None, None) => None,
            _ if method.is_safe() => return Err(format!("a {} has no body", method.name())),
            (Some(json), None) => Some(Body::Json(json_of(json, 0)?)),
            (None, Some(form)) => Some(Body::Form(texts(form, "a field of a form")?)),
        };
        let credential = self.credential.as_deref().map(credential).transpose()?;
        Ok(Template {
            method,
            path: path_of(path)?,
            query: query(self.query)?,
            headers: headers(self.headers)?,
            body,
            credential,
            text,
        })
    }

    /// All of it on one line.
    fn shown(&self) -> String {
        let mut text = self.send.clone();
        let json = |pairs: &BTreeMap<String, String>| serde_json::to_string(pairs).unwrap_or_default();
        // Writing to a string cannot fail.
        if !self.query.is_empty() {
            let _ = write!(text, " query {}", json(&self.query));
        }
        if !self.headers.is_empty() {
            let _ = write!(text, " headers {}", json(&self.headers));
        }
        if let Some(body) = &self.json {
            let _ = write!(text, " json {body}");
        }
        if let Some(form) = &self.form {
            let _ = write!(text, " form {}", json(form));
        }
        if let Some(credential) = &self.credential {
            let _ = write!(text, " credential {credential}");
        }
        text
    }
}

fn path_of(text: &str) -> Result<Vec<Segment>, String> {
    let wrong = |why: &str| Err(format!("the path `{}` {why}", shown(text)));
    let Some(rest) = text.strip_prefix('/') else {
        return wrong("does not begin with a slash");
    };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    if text.contains(['?', '#']) {
        return wrong("has a query in it: write the pairs into `query`");
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let last = parts.len() - 1;
    let mut segments = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        segments.push(match part {
            "*" => Segment::One,
            "**" if at == last => Segment::Rest,
            "**" => return wrong("has `**` before its end"),
            // A slash at the end is part of the address for some systems.
            "" if at == last => Segment::Text(Text::parse("")?),
            part => {
                // Only a slash within a segment is written as an escape.
                let part = part.replace("%2F", "/").replace("%2f", "/");
                if part.contains('*') && !part.contains("{*}") {
                    return wrong("has a wildcard in a segment: `*` stands for a whole one");
                }
                let text = Text::parse(&part)?;
                // With a letter in place of each variable it must be a segment.
                let sample: String = text
                    .0
                    .iter()
                    .map(|part| match part {
                        super::Part::Literal(literal) => literal.as_str(),
                        super::Part::Variable(_) => "x",
                    })
                    .collect();
                if let Err(why) = can_be_segment(&sample) {
                    return wrong(&format!("has a segment that {why}"));
                }
                Segment::Text(text)
            }
        });
    }
    Ok(segments)
}

fn texts(pairs: BTreeMap<String, String>, what: &str) -> Result<BTreeMap<String, Text>, String> {
    let each = |(name, text): (String, String)| {
        if name.is_empty() || !can_be_text(&name) {
            return Err(format!("`{}` is not the name of {what}", shown(&name)));
        }
        Ok((name, Text::parse(&text)?))
    };
    pairs.into_iter().map(each).collect()
}

fn query(pairs: BTreeMap<String, String>) -> Result<BTreeMap<String, Text>, String> {
    // Some frameworks take the method from there, so that a GET would be something else.
    if pairs.keys().any(|name| name.eq_ignore_ascii_case("_method")) {
        return Err("a query must not have `_method`, which could replace the method".to_owned());
    }
    texts(pairs, "a pair of a query")
}

fn headers(pairs: BTreeMap<String, String>) -> Result<BTreeMap<String, Text>, String> {
    let mut headers = BTreeMap::new();
    for (name, text) in pairs {
        let lower = name.to_ascii_lowercase();
        let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if lower.is_empty() || !lower.bytes().all(is_token) {
            return Err(format!("`{}` is not the name of a header", shown(&name)));
        }
        if is_of_the_host(&lower) {
            return Err(format!("the header `{lower}` is the host's, and no connector may set it"));
        }
        if headers.insert(lower, Text::parse(&text)?).is_some() {
            return Err(format!("the header `{}` is there twice", shown(&name)));
        }
    }
    Ok(headers)
}

fn json_of(value: Value, depth: usize) -> Result<Json, String> {
    if depth > DEEPEST {
        return Err(format!("the JSON is nested deeper than {DEEPEST}"));
    }
    Ok(match value {
        Value::String(text) => {
            let parsed = Text::parse(&text)?;
            match parsed.0.as_slice() {
                [super::Part::Literal(literal)] => Json::Exact(Value::String(literal.clone())),
                _ => Json::Text(parsed),
            }
        }
        Value::Array(items) => {
            Json::Array(items.into_iter().map(|item| json_of(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => Json::Object(members_of(members, depth)?),
        exact => Json::Exact(exact),
    })
}

fn members_of(members: Map<String, Value>, depth: usize) -> Result<BTreeMap<String, Json>, String> {
    members.into_iter().map(|(name, value)| Ok((name, json_of(value, depth + 1)?))).collect()
}

/// `{NAME}`: the sealed argument that is the credential.
fn credential(text: &str) -> Result<String, String> {
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        _ => Err(format!("`{}` is not a credential: write the sealed parameter like {{token}}", shown(text))),
    }
}
