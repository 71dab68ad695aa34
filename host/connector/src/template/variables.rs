//! What variables are filled with: only what is journaled, and the operator's own entry.

use std::collections::BTreeMap;

use remit_gate::SealedValues;
use remit_trust::{SecretText, ValueHandle};
use serde_json::{Number, Value};

use super::{Part, Text, Variable};
use crate::Placeholders;

/// The values of one call.
pub(crate) struct Variables<'a> {
    pub(crate) path: BTreeMap<&'a str, &'a str>,
    pub(crate) arguments: &'a Value,
    pub(crate) undo: &'a Value,
    pub(crate) got: &'a Value,
    pub(crate) config: &'a Value,
    /// The parameters that are handles.
    pub(crate) sealed: &'a [String],
    pub(crate) inputs: &'a SealedValues,
    pub(crate) placeholders: &'a Placeholders,
}

/// A filled text.
pub(crate) enum Filled<'a> {
    Exactly(Value),
    Any,
    Secret,
    /// A sealed argument: the connector writes the handle, and the value is sent, if it is still kept.
    Sealed(String, Option<&'a SecretText>),
}

impl<'a> Variables<'a> {
    /// Fills a text; none if a value is missing, or is not one that can be part of a text.
    pub(crate) fn fill(&self, text: &Text) -> Option<Filled<'a>> {
        match text.whole() {
            Some(Variable::Any) => return Some(Filled::Any),
            Some(Variable::Secret) => return Some(Filled::Secret),
            Some(Variable::Null) => return Some(Filled::Exactly(Value::Null)),
            Some(variable) => {
                let value = self.value(variable)?;
                return match variable.argument().filter(|name| self.sealed.iter().any(|s| s == name)) {
                    Some(_) => {
                        let handle = value.as_str()?;
                        Some(Filled::Sealed(handle.to_owned(), self.input(handle)))
                    }
                    None => Some(Filled::Exactly(value)),
                };
            }
            None => {}
        }
        self.text(text, false).map(|text| Filled::Exactly(Value::String(text)))
    }

    /// A text outside of a body. In a path, only the operator and the description's author may join segments by a slash.
    pub(crate) fn text(&self, text: &Text, in_path: bool) -> Option<String> {
        let mut filled = String::new();
        for part in &text.0 {
            match part {
                Part::Literal(literal) => filled.push_str(literal),
                Part::Variable(variable) => {
                    let value = match self.value(variable)? {
                        Value::String(text) => text,
                        Value::Number(number) => number.to_string(),
                        Value::Bool(value) => value.to_string(),
                        _ => return None,
                    };
                    let trusted = matches!(variable, Variable::Config(_));
                    // Without its last segment a path is often that of a whole collection.
                    if in_path && (value.is_empty() || !trusted && value.contains(['/', '\\'])) {
                        return None;
                    }
                    filled.push_str(&value);
                }
            }
        }
        Some(filled)
    }

    /// The value of a handle.
    pub(crate) fn input(&self, handle: &str) -> Option<&'a SecretText> {
        self.inputs.get(&handle.parse::<ValueHandle>().ok()?)
    }

    fn value(&self, variable: &Variable) -> Option<Value> {
        let inside = |mut value: &Value, steps: &[String]| {
            for step in steps {
                value = value.as_object()?.get(step)?;
            }
            Some(value.clone())
        };
        match variable {
            Variable::Undo(steps) => inside(self.undo, steps),
            Variable::Got(steps) => inside(self.got, steps),
            Variable::Config(steps) => inside(self.config, steps),
            Variable::Argument { steps, number } => {
                let found = match self.path.get(steps.first()?.as_str()) {
                    Some(segment) if steps.len() == 1 => Value::from(*segment),
                    Some(_) => return None,
                    None => inside(self.arguments, steps)?,
                };
                if *number { number_of(found) } else { Some(found) }
            }
            Variable::Any | Variable::Secret | Variable::Null => None,
        }
    }
}

/// The number that a text is, in its one spelling.
fn number_of(value: Value) -> Option<Value> {
    let Value::String(text) = value else { return value.is_number().then_some(value) };
    let unsigned = text.parse::<u64>().ok().map(Number::from);
    let number = unsigned.or_else(|| text.parse::<i64>().ok().map(Number::from))?;
    (number.to_string() == text).then_some(Value::Number(number))
}
