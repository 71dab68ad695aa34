//! Whether a request is the one that a template, filled, stands for. What is sent is made anew from what was compared, so that no
//! other reader can find something else in it.

use std::collections::BTreeMap;

use remit_text::uri_part;
use remit_trust::SecretText;
use serde_json::Value;
use zeroize::Zeroizing;

use super::variables::Filled;
use super::{Body, Json, Segment, Template, Text, Variable, Variables};
use crate::request::{Read, is_json_type, joined};
use crate::{Request, placeholder};

/// A request that may be sent, as it is sent.
pub(crate) struct Fitted {
    /// The body with its secrets.
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    /// The body as the connector gave it, for the digest in the record.
    pub(crate) shown_body: Option<Vec<u8>>,
    /// Headers that the connector may set.
    pub(crate) headers: Vec<(String, String)>,
    /// The sealed argument that is its credential.
    pub(crate) sent_as: Option<String>,
    /// A sealed argument of the template whose value is not kept any more. Then nothing is sent.
    pub(crate) gone: Option<String>,
}

/// Why a template is not that of a request. The one that came furthest is told to the author.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Misfit {
    pub(crate) progress: usize,
    pub(crate) why: String,
}

fn misfit<T>(progress: usize, why: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit { progress, why: why.into() })
}

impl Template {
    /// Compares a request with this template. `all` is for a change, in which every pair of the query and every header must be
    /// there; a read may leave them out.
    pub(crate) fn fit(&self, request: &Read<'_>, with: &Variables<'_>, all: bool) -> Result<Fitted, Misfit> {
        if self.method != request.method {
            return misfit(0, "the method is another");
        }
        self.fit_path(&request.of.path, with)?;
        if let Err(why) = pairs(&self.query, &request.of.query, with, all, "query") {
            return misfit(1000, why);
        }
        let headers = self.fit_headers(request, with, all)?;
        self.fit_credential(request.of, with)?;
        let (body, shown_body) = self.fit_body(request, with)?;
        let sent_as = request.of.credential.is_some().then(|| self.credential.clone()).flatten();
        Ok(Fitted { body, shown_body, headers, sent_as, gone: self.gone(with) })
    }

    fn gone(&self, with: &Variables<'_>) -> Option<String> {
        let named = self.all_texts().flat_map(Text::variables).filter_map(Variable::argument);
        let mut sealed =
            named.chain(self.credential.as_deref()).filter(|name| with.sealed.iter().any(|s| s == name));
        let is_gone = |name: &&str| {
            with.arguments
                .get(*name)
                .and_then(Value::as_str)
                .is_none_or(|handle| with.input(handle).is_none())
        };
        sealed.find(is_gone).map(ToOwned::to_owned)
    }

    fn fit_path(&self, path: &[String], with: &Variables<'_>) -> Result<(), Misfit> {
        let rest = matches!(self.path.last(), Some(Segment::Rest));
        let enough = if rest { path.len() >= self.path.len() } else { path.len() == self.path.len() };
        if !enough {
            return misfit(1, format!("the path has {} segments", path.len()));
        }
        for (at, segment) in self.path.iter().enumerate() {
            let fits = match segment {
                Segment::Text(text) => with.text(text, true).is_some_and(|text| text == path[at]),
                Segment::One => is_one(&path[at]),
                Segment::Rest => path[at..].iter().all(|one| is_one(one)),
            };
            if !fits {
                return misfit(2 + at, format!("segment {} of the path is another", at + 1));
            }
        }
        Ok(())
    }

    fn fit_headers(
        &self,
        request: &Read<'_>,
        with: &Variables<'_>,
        all: bool,
    ) -> Result<Vec<(String, String)>, Misfit> {
        let mut bound = Vec::new();
        let mut sent = request.headers.clone();
        for (name, value) in &request.headers {
            let free = match name.as_str() {
                _ if self.headers.contains_key(name) => false,
                "accept" | "accept-language" => true,
                "content-type" => match self.body {
                    Some(Body::Json(_)) => is_json_type(value),
                    Some(Body::Form(_)) => value == FORM,
                    None => false,
                },
                _ => false,
            };
            if free && placeholder::is_in(value) {
                return misfit(2000, format!("the header `{name}` has a placeholder in it"));
            }
            if !free {
                bound.push((name.clone(), value.clone()));
            }
        }
        if let Err(why) = pairs(&self.headers, &bound, with, all, "headers") {
            return misfit(2000, why);
        }
        if !sent.iter().any(|(name, _)| name == "content-type") {
            let kind = match self.body {
                Some(Body::Json(_)) => Some("application/json"),
                Some(Body::Form(_)) => Some(FORM),
                None => None,
            };
            sent.extend(kind.map(|kind| ("content-type".to_owned(), kind.to_owned())));
        }
        Ok(sent)
    }

    fn fit_credential(&self, request: &Request, with: &Variables<'_>) -> Result<(), Misfit> {
        match (&self.credential, &request.credential) {
            (None, None) => Ok(()),
            (Some(name), Some(handle)) => {
                let given = with.arguments.get(name).and_then(Value::as_str);
                if given == Some(handle) {
                    Ok(())
                } else {
                    misfit(3000, format!("the credential is not the sealed argument `{name}`"))
                }
            }
            (None, Some(_)) => misfit(3000, "it has a credential, and the template has none"),
            (Some(_), None) => misfit(3000, "it lacks the credential of the template"),
        }
    }

    fn fit_body(
        &self,
        request: &Read<'_>,
        with: &Variables<'_>,
    ) -> Result<(Option<Zeroizing<Vec<u8>>>, Option<Vec<u8>>), Misfit> {
        match (&self.body, &request.of.body) {
            (None, None) => Ok((None, None)),
            (None, Some(_)) => misfit(4000, "it has a body, and the template has none"),
            (Some(_), None) => misfit(4000, "it lacks the body of the template"),
            (Some(Body::Json(template)), Some(body)) => {
                let read = std::str::from_utf8(body).ok().and_then(|text| remit_text::json::read(text).ok());
                let Some(given) = read else {
                    return misfit(4000, "its body is not JSON, or has a member twice");
                };
                let sent = fit_json(template, &given, with).or_else(|why| misfit(4001, why))?;
                let shown = given.to_string().into_bytes();
                // With much room, so that no part of a secret is left behind where it was before it grew.
                let mut bytes = Zeroizing::new(Vec::with_capacity(2 * shown.len() + ROOM));
                sent.write(&mut bytes);
                Ok((Some(bytes), Some(shown)))
            }
            (Some(Body::Form(template)), Some(body)) => {
                let given: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
                let sent = fit_form(template, &given, with).or_else(|why| misfit(4001, why))?;
                Ok((Some(Zeroizing::new(sent.as_bytes().to_vec())), Some(joined(&given).into_bytes())))
            }
        }
    }
}

/// Room for the secrets of a body.
const ROOM: usize = 128 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// A segment that a wildcard stands for: not one that some servers read as two.
fn is_one(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains(['/', '\\']) && !placeholder::is_in(segment)
}

/// Pairs outside of the body: each of the template at most once, and nothing else.
fn pairs(
    template: &BTreeMap<String, Text>,
    given: &[(String, String)],
    with: &Variables<'_>,
    all: bool,
    what: &str,
) -> Result<(), String> {
    let mut seen = Vec::new();
    for (name, value) in given {
        let Some((name, text)) = template.get_key_value(name) else {
            return Err(format!("its {what} have something that the template does not have"));
        };
        if seen.contains(&name) {
            return Err(format!("its {what} have `{name}` twice"));
        }
        seen.push(name);
        let fits = match text.whole() {
            Some(Variable::Any) => !placeholder::is_in(value),
            _ => with.text(text, false).as_ref() == Some(value),
        };
        if !fits {
            return Err(format!("its {what} have another `{name}`"));
        }
    }
    match template.keys().find(|name| !seen.contains(name)) {
        Some(missing) if all => Err(format!("its {what} lack `{missing}`")),
        _ => Ok(()),
    }
}

/// The value with its secrets, if it is what the template stands for.
fn fit_json(template: &Json, given: &Value, with: &Variables<'_>) -> Result<Secretly, String> {
    match (template, given) {
        (Json::Exact(exact), given) if exact == given => Ok(Secretly::Plain(exact.clone())),
        (Json::Object(template), Value::Object(given)) => {
            if given.keys().any(|name| !template.contains_key(name)) {
                return Err("its body has a member that the template does not have".to_owned());
            }
            let member = |(name, template): (&String, &Json)| match given.get(name) {
                None => Err(format!("its body lacks `{name}`")),
                Some(given) => {
                    let fitted =
                        fit_json(template, given, with).map_err(|why| format!("{why} (in `{name}`)"))?;
                    Ok((name.clone(), fitted))
                }
            };
            Ok(Secretly::Object(template.iter().map(member).collect::<Result<_, _>>()?))
        }
        (Json::Array(template), Value::Array(given)) if template.len() == given.len() => {
            let items = template.iter().zip(given).map(|(template, given)| fit_json(template, given, with));
            Ok(Secretly::Array(items.collect::<Result<_, _>>()?))
        }
        (Json::Text(text), given) => fit_text(text, given, with),
        _ => Err("its body has another value".to_owned()),
    }
}

fn fit_text(text: &Text, given: &Value, with: &Variables<'_>) -> Result<Secretly, String> {
    match with.fill(text) {
        Some(Filled::Exactly(exact)) if exact == *given => Ok(Secretly::Plain(exact)),
        Some(Filled::Any) if !placeholder::is_in_json(given) => Ok(Secretly::Plain(given.clone())),
        Some(Filled::Any) => Err("its body has a placeholder where no secret is sent".to_owned()),
        Some(Filled::Secret) => match given.as_str().and_then(|text| with.placeholders.value(text)) {
            Some(secret) => Ok(Secretly::Secret(secret)),
            None => Err("its body has something else in place of a secret".to_owned()),
        },
        Some(Filled::Sealed(handle, value)) if given.as_str() == Some(&handle) => {
            // One that is gone is not sent at all.
            let value = value.map(SecretText::expose).unwrap_or_default();
            let quoted = serde_json::to_string(value).unwrap_or_default();
            Ok(Secretly::Secret(Zeroizing::new(quoted)))
        }
        _ => Err("its body has another value".to_owned()),
    }
}

fn fit_form(
    template: &BTreeMap<String, Text>,
    given: &[(String, String)],
    with: &Variables<'_>,
) -> Result<Zeroizing<String>, String> {
    let mut seen: Vec<&str> = Vec::new();
    let mut sent = Zeroizing::new(String::with_capacity(ROOM));
    for (name, value) in given {
        let Some(text) = template.get(name) else {
            return Err("its form has a field that the template does not have".to_owned());
        };
        if seen.contains(&name.as_str()) {
            return Err(format!("its form has `{name}` twice"));
        }
        seen.push(name);
        let given = Value::String(value.clone());
        let fitted = match with.fill(text) {
            // A form has texts only, so that a number is one too.
            Some(Filled::Exactly(_)) if with.text(text, false).as_ref() == Some(value) => {
                Secretly::Plain(given)
            }
            _ => fit_text(text, &given, with).map_err(|_| format!("its form has another `{name}`"))?,
        };
        let value = fitted.into_text().unwrap_or_default();
        if !sent.is_empty() {
            sent.push('&');
        }
        sent.push_str(&uri_part(name));
        sent.push('=');
        sent.push_str(&Zeroizing::new(uri_part(&value)));
    }
    match template.keys().find(|name| !seen.contains(&name.as_str())) {
        Some(missing) => Err(format!("its form lacks `{missing}`")),
        None => Ok(sent),
    }
}

/// JSON, parts of which are secret: those are there as JSON text.
enum Secretly {
    Plain(Value),
    Secret(Zeroizing<String>),
    Array(Vec<Secretly>),
    Object(BTreeMap<String, Secretly>),
}

impl Secretly {
    fn write(&self, to: &mut Zeroizing<Vec<u8>>) {
        let plain = |value: &Value, to: &mut Zeroizing<Vec<u8>>| {
            to.extend_from_slice(value.to_string().as_bytes());
        };
        match self {
            Self::Plain(value) => plain(value, to),
            Self::Secret(text) => to.extend_from_slice(text.as_bytes()),
            Self::Array(items) => {
                to.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        to.push(b',');
                    }
                    item.write(to);
                }
                to.push(b']');
            }
            Self::Object(members) => {
                to.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        to.push(b',');
                    }
                    plain(&Value::String(name.clone()), to);
                    to.push(b':');
                    value.write(to);
                }
                to.push(b'}');
            }
        }
    }

    /// The text, if it is one.
    fn into_text(self) -> Option<Zeroizing<String>> {
        match self {
            Self::Plain(Value::String(text)) => Some(Zeroizing::new(text)),
            Self::Secret(json) => match serde_json::from_str(&json).ok()? {
                Value::String(text) => Some(Zeroizing::new(text)),
                Value::Number(number) => Some(Zeroizing::new(number.to_string())),
                _ => None,
            },
            _ => None,
        }
    }
}
