//! From a program's terms to values.

use remit::connector::{Failure, Request, Result, time};
use serde_json::{Map, Number, Value};

use crate::program::{Function, Pointer, Template, Term, Variable};

/// What variables stand for in one call.
pub(crate) struct Scope<'a> {
    pub(crate) function: &'a Function,
    pub(crate) arguments: &'a Map<String, Value>,
    pub(crate) config: &'a Value,
    pub(crate) undo: Value,
    pub(crate) got: Option<&'a Value>,
    pub(crate) seen: Seen,
    /// What a rehearsal changed before: the path of the resource, the place of the state, and the state.
    pub(crate) simulated: Vec<(String, Pointer, Value)>,
}

/// What the system answered to the read.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) found: bool,
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(function: &'a Function, arguments: &'a Map<String, Value>, config: &'a Value) -> Self {
        Self {
            function,
            arguments,
            config,
            undo: Value::Null,
            got: None,
            seen: Seen::default(),
            simulated: Vec::new(),
        }
    }

    /// The path of the resource.
    pub(crate) fn path(&self) -> &'a str {
        self.arguments.get(&self.function.resource).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn value(&self, term: &Term) -> Result<Value> {
        self.fill(term, &self.seen.body, &mut Vec::new())
    }

    pub(crate) fn text(&self, term: &Term) -> Result<String> {
        self.value(term).map(text)
    }

    /// Where a request goes: two reads of the same are of the same thing.
    pub(crate) fn address(&self, template: &Template) -> Result<Vec<String>> {
        let texts = template.path.iter().chain(template.query.values());
        texts.filter(|term| !is_same(term)).map(|term| self.text(term)).collect()
    }

    /// The request of a template. A read leaves out the pairs that are the connector's to say.
    pub(crate) fn request(&self, template: &Template) -> Result<Request> {
        let segments = template.path.iter().map(|term| self.text(term)).collect::<Result<Vec<_>>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut request = Request::new(&template.method, &segments);
        for (name, term) in &template.query {
            if !is_same(term) {
                request = request.query(name, &self.text(term)?);
            }
        }
        if let Some(json) = &template.json {
            request = request.json(&self.value(json)?);
        }
        if let Some(form) = &template.form {
            let fields = form.iter().map(|(name, term)| Ok((name.as_str(), self.text(term)?)));
            let fields = fields.collect::<Result<Vec<_>>>()?;
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
            request = request.form(&fields);
        }
        for (name, term) in &template.headers {
            let value = match (term, &self.seen.etag) {
                (Term::Value(Variable::Same), Some(etag)) => etag.clone(),
                (Term::Value(Variable::Same), None) => {
                    return Err(Failure::Unavailable(format!(
                        "the system says no ETag of {}, which is needed to change it",
                        self.path()
                    )));
                }
                _ => self.text(term)?,
            };
            request = request.header(name, &value);
        }
        Ok(match &template.credential {
            Some(name) => {
                let handle = self.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
                request.credential(handle)
            }
            None => request,
        })
    }

    /// `answer` is what places are in; `at` is the place in what is made.
    fn fill(&self, term: &Term, answer: &Value, at: &mut Pointer) -> Result<Value> {
        Ok(match term {
            Term::Exactly(value) => value.clone(),
            Term::Value(variable) => self.variable(variable, answer, at)?,
            Term::Text(parts) => {
                let part = |part| Ok(text(self.fill(part, answer, at)?));
                Value::String(parts.iter().map(part).collect::<Result<_>>()?)
            }
            Term::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    at.push(index.to_string());
                    list.push(self.fill(item, answer, at)?);
                    at.pop();
                }
                Value::Array(list)
            }
            Term::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    at.push(name.clone());
                    object.insert(name.clone(), self.fill(member, answer, at)?);
                    at.pop();
                }
                Value::Object(object)
            }
            Term::Each(pointer, term) => {
                let all = at_place(answer, pointer);
                let items = all.as_array().map(Vec::as_slice).unwrap_or_default();
                let mut list = items.iter().map(|item| self.each(term, item)).collect::<Result<Vec<_>>>()?;
                list.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
                Value::Array(list)
            }
        })
    }

    /// One element of a list, as the changes of a rehearsal left it.
    fn each(&self, term: &Term, item: &Value) -> Result<Value> {
        let made = self.fill(term, item, &mut Vec::new())?;
        let ours = |(path, ..): &&(String, Pointer, Value)| made["path"].as_str() == Some(path);
        let mut changed = item.clone();
        for (_, pointer, state) in self.simulated.iter().filter(ours) {
            put(&mut changed, pointer, state.clone());
        }
        if changed == *item { Ok(made) } else { self.fill(term, &changed, &mut Vec::new()) }
    }

    fn variable(&self, variable: &Variable, answer: &Value, at: &[String]) -> Result<Value> {
        let missing = |what: &str, steps: &[String]| {
            Failure::Invalid(format!("there is no {what}{} for {}", steps.join("."), self.path()))
        };
        match variable {
            Variable::Argument(steps) => self.argument(steps).ok_or_else(|| missing("argument ", steps)),
            Variable::Number(steps) => {
                self.argument(steps).and_then(number).ok_or_else(|| missing("number ", steps))
            }
            Variable::Undo(steps) => inside(&self.undo, steps).ok_or_else(|| missing("undo.", steps)),
            Variable::Got(steps) => {
                self.got.and_then(|got| inside(got, steps)).ok_or_else(|| missing("got.", steps))
            }
            Variable::Config(steps) => inside(self.config, steps).ok_or_else(|| missing("config.", steps)),
            Variable::Answer(pointer) => Ok(at_place(answer, pointer)),
            Variable::Time(pointer) => {
                let time = at_place(answer, pointer).as_str().and_then(time::milliseconds);
                Ok(time.map_or(Value::Null, |time| Value::from(time.to_string())))
            }
            Variable::Either(pointer, yes, no) => {
                let is = at_place(answer, pointer) == Value::Bool(true);
                Ok(Value::from(if is { yes.as_str() } else { no.as_str() }))
            }
            Variable::Found => Ok(Value::Bool(self.seen.found)),
            Variable::Same => match inside(&self.seen.body, at) {
                Some(value) => Ok(value),
                None => Err(Failure::Unavailable(format!(
                    "the system does not say the /{} of {}",
                    at.join("/"),
                    self.path()
                ))),
            },
        }
    }

    fn argument(&self, steps: &[String]) -> Option<Value> {
        let (first, rest) = steps.split_first()?;
        match self.function.segments.iter().position(|name| name == first) {
            // The first segment is the name of the instance. The last can be all that is left.
            Some(index) => {
                let mut segments = self.path().splitn(self.function.segments.len() + 1, '/');
                segments.nth(index + 1).map(Value::from)
            }
            None => inside(self.arguments.get(first)?, rest),
        }
    }
}

/// A value within a text.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn is_same(term: &Term) -> bool {
    matches!(term, Term::Value(Variable::Same))
}

/// The number that a text is: integers of 64 bits are texts in arguments.
fn number(value: Value) -> Option<Value> {
    let Value::String(text) = value else { return Some(value) };
    let unsigned = text.parse::<u64>().ok().map(Number::from);
    unsigned.or_else(|| text.parse::<i64>().ok().map(Number::from)).map(Value::Number)
}

/// The value at a place; `null` where there is none. With `*` it is a list.
pub(crate) fn at_place(value: &Value, pointer: &[String]) -> Value {
    match pointer.iter().position(|step| step == "*") {
        None => inside(value, pointer).unwrap_or_default(),
        Some(star) => {
            let all = inside(value, &pointer[..star]);
            let items = all.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            items.iter().map(|item| at_place(item, &pointer[star + 1..])).collect()
        }
    }
}

fn inside(value: &Value, steps: &[String]) -> Option<Value> {
    let step = |value: &'_ Value, step: &String| match value {
        Value::Object(members) => members.get(step).cloned(),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?).cloned(),
        _ => None,
    };
    let mut found = value.clone();
    for next in steps {
        found = step(&found, next)?;
    }
    Some(found)
}

/// Puts a value at a place, which is made where it is missing.
pub(crate) fn put(into: &mut Value, pointer: &[String], value: Value) {
    let Some((first, rest)) = pointer.split_first() else {
        *into = value;
        return;
    };
    match into {
        Value::Array(items) => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                put(item, rest, value);
            }
        }
        Value::Object(members) => put(members.entry(first.as_str()).or_insert(Value::Null), rest, value),
        other => {
            *other = Value::Object(Map::new());
            put(other, pointer, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_found_and_made() {
        let steps = |text: &str| text.split('/').map(ToOwned::to_owned).collect::<Vec<_>>();
        let mut answer = json!({ "a": [{ "b": 1 }, { "b": 2 }, {}] });
        for (place, value) in [
            ("a/1/b", json!(2)),
            ("a/*/b", json!([1, 2, null])),
            ("a/b", json!(null)),
            ("a/-1", json!(null)),
            ("c/*", json!([])),
        ] {
            assert_eq!(at_place(&answer, &steps(place)), value, "{place}");
        }
        put(&mut answer, &steps("a/2/b"), json!(3));
        put(&mut answer, &steps("c/d"), json!(null));
        put(&mut answer, &steps("a/7"), json!(0));
        assert_eq!(answer, json!({ "a": [{ "b": 1 }, { "b": 2 }, { "b": 3 }], "c": { "d": null } }));
    }

    #[test]
    fn what_goes_back_is_what_was_answered() {
        let function: Function = serde_json::from_value(json!({
            "resource": "path", "segments": ["id"], "keep": {}, "returns": { "exactly": null },
            "read": { "method": "GET", "path": [], "query": {}, "headers": {} }
        }))
        .unwrap_or_else(|error| panic!("{error}"));
        let arguments = json!({ "path": "people/7", "level": "9" });
        let (arguments, config) = (arguments.as_object().unwrap_or_else(|| panic!("an object")), json!({}));
        let mut scope = Scope::new(&function, arguments, &config);
        scope.seen.body = json!({ "name": "alice", "tags": ["a", "b"] });
        let same = || Term::Value(Variable::Same);
        let body = Term::Object(
            [
                ("id".to_owned(), Term::Value(Variable::Argument(vec!["id".to_owned()]))),
                ("level".to_owned(), Term::Value(Variable::Number(vec!["level".to_owned()]))),
                ("name".to_owned(), same()),
                ("tags".to_owned(), Term::List(vec![same(), Term::Exactly(json!("c"))])),
            ]
            .into(),
        );
        let made = json!({ "id": "7", "level": 9, "name": "alice", "tags": ["a", "c"] });
        assert_eq!(scope.value(&body).ok(), Some(made));
        scope.seen.body = json!({});
        assert!(scope.value(&body).is_err(), "nothing is made up");
    }
}
