//! From a `connector.toml` to a program. What the host checks of every description is not checked again here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::program::{Function, Pointer, Program, State, Template, Term, Variable};

/// What `rules.state` says of something whose state is whether it is there.
const FOUND: &str = "found";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    function: BTreeMap<String, Raw>,
}

#[derive(Deserialize)]
struct Raw {
    effect: String,
    path: String,
    #[serde(default)]
    change: Vec<RawTemplate>,
    #[serde(default)]
    undo: Vec<RawTemplate>,
    #[serde(default)]
    reads: Vec<RawTemplate>,
    #[serde(default)]
    rules: Rules,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    state: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    #[serde(default)]
    keep: BTreeMap<String, String>,
    describe: Option<String>,
    returns: Option<Value>,
    total: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTemplate {
    Short(String),
    Full(Box<Full>),
}

#[derive(Default, Deserialize)]
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

/// `resources` has the first parameter of each function.
pub(super) fn program(text: &str, resources: &BTreeMap<String, String>) -> Result<Program, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let each = |(name, raw): (String, Raw)| {
        let resource = resources.get(&name).ok_or_else(|| format!("the WIT has no function {name}"))?;
        let function = function(raw, resource).map_err(|why| format!("[function.\"{name}\"]: {why}"))?;
        Ok((name, function))
    };
    file.function.into_iter().map(each).collect()
}

fn function(raw: Raw, resource: &str) -> Result<Function, String> {
    let Raw { effect, path, change, undo, reads, rules } = raw;
    let changes = effect != "observe";
    let state = rules.state.as_deref().map(state).transpose()?;
    if changes && (state.is_none() || rules.after.is_none()) {
        return Err(format!(
            "its `rules` need `state`, where in the answer of its first read the state is (\"/active\", or \"{FOUND}\"), and `after`, \
             what the change makes of it"
        ));
    }
    if !changes && (rules.returns.is_none() || rules.before.is_some() || rules.after.is_some()) {
        return Err("it observes: its `rules` have `returns`, and neither `before` nor `after`".to_owned());
    }
    if change.len() > 1 || undo.len() > 1 {
        return Err("`change` and `undo` have one request each where there is no code to choose".to_owned());
    }
    let read = reads.into_iter().next().ok_or("it needs one of `reads`, which tells the state")?;
    let segments = path
        .split('/')
        .filter(|_| !path.is_empty())
        .map(|segment| segment.trim_matches(['{', '}', '*']).to_owned());
    let text = |text: String, what: &str| {
        term(&Value::String(text), Place::Rule).map_err(|why| format!("`rules.{what}`: {why}"))
    };
    let rule = |value: Option<Value>, what: &str| {
        let term = value.map(|value| term(&value, Place::Rule)).transpose();
        term.map_err(|why| format!("`rules.{what}`: {why}"))
    };
    let keep = |(name, at): (String, String)| match name.as_str() {
        "was" => Err("`rules.keep`: `was` is the state itself, and is always kept".to_owned()),
        _ => Ok((name, pointer(&at).map_err(|why| format!("`rules.keep`: {why}"))?)),
    };
    Ok(Function {
        resource: resource.to_owned(),
        segments: segments.collect(),
        read: template(read, true)?,
        change: change.into_iter().next().map(|one| template(one, false)).transpose()?,
        undo: undo.into_iter().next().map(|one| template(one, false)).transpose()?,
        state,
        before: rule(rules.before, "before")?,
        after: rule(rules.after, "after")?,
        keep: rules.keep.into_iter().map(keep).collect::<Result<_, _>>()?,
        describe: rules.describe.map(|words| text(words, "describe")).transpose()?,
        returns: rule(rules.returns, "returns")?.unwrap_or(Term::Exactly(Value::Null)),
        total: rules
            .total
            .as_deref()
            .map(pointer)
            .transpose()
            .map_err(|why| format!("`rules.total`: {why}"))?,
    })
}

fn state(text: &str) -> Result<State, String> {
    if text == FOUND {
        return Ok(State::Found);
    }
    let steps = pointer(text).map_err(|why| format!("`rules.state`: {why}, or \"{FOUND}\""))?;
    if steps.iter().any(|step| step == "*") {
        return Err("`rules.state`: a state is at one place, without `*`".to_owned());
    }
    Ok(State::At(steps))
}

/// A JSON pointer, taken apart.
fn pointer(text: &str) -> Result<Pointer, String> {
    let rest = text.strip_prefix('/').ok_or_else(|| {
        format!("`{text}` is not a place in an answer: write it like /active or /members/0/value")
    })?;
    Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn template(raw: RawTemplate, is_read: bool) -> Result<Template, String> {
    let full = match raw {
        RawTemplate::Short(send) => Full { send, ..Full::default() },
        RawTemplate::Full(full) => *full,
    };
    let (method, path) = full.send.split_once(' ').ok_or("a request is written like GET /a/{b}")?;
    let shown = &full.send;
    let within = |why: String| format!("`{shown}`: {why}");
    let place = if is_read { Place::Read } else { Place::Change };
    let texts = |pairs: BTreeMap<String, String>, place: fn(&str) -> Place| {
        let each = |(name, text): (String, String)| {
            let term = term(&Value::String(text), place(&name)).map_err(within)?;
            Ok::<_, String>((name.to_ascii_lowercase(), term))
        };
        pairs.into_iter().map(each).collect::<Result<BTreeMap<_, _>, _>>()
    };
    let segment = |segment: &str| {
        if segment.contains('*') {
            return Err(within(
                "the read that tells the state is of one thing, without `*` in its path".to_owned(),
            ));
        }
        let segment = segment.replace("%2F", "/").replace("%2f", "/");
        term(&Value::String(segment), Place::Path).map_err(within)
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments = path.split('/').filter(|_| !path.is_empty());
    let query = full.query.into_iter().map(|(name, text)| {
        let term =
            term(&Value::String(text), if is_read { Place::Pair } else { Place::Path }).map_err(within)?;
        Ok::<_, String>((name, term))
    });
    Ok(Template {
        method: method.to_owned(),
        path: segments.map(segment).collect::<Result<_, _>>()?,
        query: query.collect::<Result<_, _>>()?,
        headers: texts(full.headers, |name| {
            if name.eq_ignore_ascii_case("if-match") { Place::Pair } else { Place::Path }
        })?,
        json: full.json.map(|json| term(&json, place)).transpose().map_err(within)?,
        form: full.form.map(|form| texts(form, |_| Place::Path)).transpose()?,
        credential: full.credential.map(|text| text.trim_matches(['{', '}']).to_owned()),
    })
}

/// What a text is part of: each place has variables of its own.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// `state`, `returns` and their like: what the answer says.
    Rule,
    /// The JSON of a change: `{*}` is what the answer says there.
    Change,
    /// The JSON of a read.
    Read,
    /// A pair that can be left out of a read, and `if-match`.
    Pair,
    /// Everything else of a request.
    Path,
}

fn term(value: &Value, place: Place) -> Result<Term, String> {
    Ok(match value {
        Value::String(text) => text_of(text, place)?,
        Value::Array(items) => {
            Term::List(items.iter().map(|item| term(item, place)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) if place == Place::Rule && members.contains_key("each") => {
            let (Some(Value::String(each)), Some(of), 2) =
                (members.get("each"), members.get("as"), members.len())
            else {
                return Err(
                    "what is done for each is like { each = \"/items\", as = { name = \"{/name}\" } }"
                        .to_owned(),
                );
            };
            Term::Each(pointer(each)?, Box::new(term(of, place)?))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| Ok((name.clone(), term(value, place)?));
            Term::Object(members.iter().map(member).collect::<Result<_, String>>()?)
        }
        exact => Term::Exactly(exact.clone()),
    })
}

/// Literals, and variables in braces. A brace of the text itself is written twice.
fn text_of(text: &str, place: Place) -> Result<Term, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}').filter(|_| brace == "{") else {
            return Err(format!(
                "`{text}` has a brace without its other; one of the text itself is written twice"
            ));
        };
        if !literal.is_empty() {
            parts.push(Term::Exactly(Value::String(std::mem::take(&mut literal))));
        }
        parts.push(variable(name, place)?);
        rest = after;
    }
    literal.push_str(rest);
    if parts.is_empty() {
        return Ok(Term::Exactly(Value::String(literal)));
    }
    if !literal.is_empty() {
        parts.push(Term::Exactly(Value::String(literal)));
    }
    Ok(match parts.len() {
        1 => parts.swap_remove(0),
        _ => Term::Text(parts),
    })
}

fn variable(name: &str, place: Place) -> Result<Term, String> {
    let refuse = |why: &str| Err(format!("`{{{name}}}` {why}"));
    if name == "null" {
        return Ok(Term::Exactly(Value::Null));
    }
    if name == "*" {
        return match place {
            Place::Change | Place::Pair => Ok(Term::Value(Variable::Same)),
            _ => refuse(
                "can be in the JSON of a change, for what the answer has there, and in `if-match`, for its ETag: nothing else is known",
            ),
        };
    }
    if name == "secret" {
        return refuse("needs code: a connector in TOML sends no secrets of answers");
    }
    if name == FOUND || name.starts_with('/') {
        if place != Place::Rule {
            return refuse("is for `rules`; in a request it is `{undo.…}`, with its place in `rules.keep`");
        }
        if name == FOUND {
            return Ok(Term::Value(Variable::Found));
        }
        if let Some(place) = name.strip_suffix(":time") {
            return Ok(Term::Value(Variable::Time(pointer(place)?)));
        }
        let Some((place, words)) = name.split_once('?') else {
            return Ok(Term::Value(Variable::Answer(pointer(name)?)));
        };
        let Some((yes, no)) = words.split_once(':') else {
            return refuse("is to be like {/active?enabled:disabled}");
        };
        return Ok(Term::Value(Variable::Either(pointer(place)?, yes.to_owned(), no.to_owned())));
    }
    let (path, is_number) = name.strip_suffix(":number").map_or((name, false), |path| (path, true));
    let mut steps: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
    if steps.iter().any(String::is_empty) {
        return refuse("is not a variable; docs/connectors.md has the list");
    }
    let first = steps[0].clone();
    if ["undo", "got", "config"].contains(&first.as_str()) {
        steps.remove(0);
        if steps.is_empty() || is_number {
            return refuse("is not a variable; docs/connectors.md has the list");
        }
    }
    Ok(Term::Value(match first.as_str() {
        "undo" => Variable::Undo(steps),
        "got" => Variable::Got(steps),
        "config" => Variable::Config(steps),
        _ if is_number => Variable::Number(steps),
        _ => Variable::Argument(steps),
    }))
}
