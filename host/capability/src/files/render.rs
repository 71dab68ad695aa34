//! Writing a file with values that the guest does not see.

use std::borrow::Cow;
use std::collections::BTreeSet;

use remit_backend::files::{Attributes, FileNode, KIND, MAX_FILE, Node};
use remit_gate::{Countermeasure, Failure, Resource};
use remit_trust::Handle;
use serde::{Deserialize, Serialize};

use super::bindings::remit::files::render;
use super::edit::{Edit, Edits, refuse};
use crate::secrets::Given;
use crate::{CallError, Ctx};

/// The mode of a file that was not there: it has a secret in it.
const NEW_FILE: u32 = 0o600;
/// The longest template, in bytes. It is in the plan and in the journal, and people read it.
const MAX_TEMPLATE: usize = 64 * 1024;
/// What a placeholder is between.
const OPEN: &str = "{{";
const CLOSE: &str = "}}";

impl render::Host for Ctx {
    async fn render(
        &mut self,
        path: String,
        template: String,
        values: Vec<render::Value>,
    ) -> Result<(), CallError> {
        let resource = self.resource::<Edit<Render>>(KIND, &path)?;
        let mut given = Vec::with_capacity(values.len());
        for render::Value { name, secret } in values {
            given.push(Value { secret: self.given::<Edit<Render>>(&secret)?, name });
        }
        let render = Render { resource, template, values: given };
        if let Err(why) = render.check() {
            return Err(self.refuse::<Edit<Render>>(&path, &why));
        }
        self.change(Edit(render)).await
    }
}

/// `remit:files/render.render`: makes a template the whole content of a file, with secret values in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Render {
    /// The file to write.
    pub resource: Resource,
    /// The content, with `{{NAME}}` where a value is to stand.
    pub template: String,
    /// The values.
    pub values: Vec<Value>,
}

/// A value that is to stand in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// What the template calls it.
    pub name: String,
    /// The value.
    pub secret: Given,
}

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Value(&'a str, Form),
}

/// How a value stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    AsItIs,
    Json,
    Uri,
}

impl Form {
    fn of(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::AsItIs => Cow::Borrowed(value),
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
            }
            Self::Uri => Cow::Owned(remit_text::uri_part(value)),
        }
    }
}

/// The parts of a template, in order. An error says what is wrong with it.
fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once(OPEN) {
        let (inside, after) =
            after.split_once(CLOSE).ok_or_else(|| format!("a `{OPEN}` of the template has no `{CLOSE}`"))?;
        let (name, form) = match inside.split_once('|') {
            None => (inside, Form::AsItIs),
            Some((name, "json")) => (name, Form::Json),
            Some((name, "uri")) => (name, Form::Uri),
            Some(_) => return Err(format!("`{OPEN}{inside}{CLOSE}`: after `|` is `json` or `uri`")),
        };
        if !Handle::is_name(name) {
            return Err(format!(
                "`{OPEN}{inside}{CLOSE}`: a value's name is of letters, digits, `_` and `-`, 64 at most"
            ));
        }
        parts.extend([Part::Text(text), Part::Value(name, form)]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

impl Render {
    /// Why this is no template for these values.
    fn check(&self) -> Result<(), String> {
        if self.template.len() > MAX_TEMPLATE {
            return Err(format!("the template is over {MAX_TEMPLATE} bytes"));
        }
        let parts = parts(&self.template)?;
        let named = |part: &Part<'_>| match *part {
            Part::Value(name, _) => Some(name.to_owned()),
            Part::Text(_) => None,
        };
        let wanted: BTreeSet<String> = parts.iter().filter_map(named).collect();
        let mut given = BTreeSet::new();
        for Value { name, .. } in &self.values {
            if !wanted.contains(name) {
                return Err(format!("the template has no `{OPEN}{name}{CLOSE}`"));
            }
            if !given.insert(name.clone()) {
                return Err(format!("the value `{name}` is given twice"));
            }
        }
        match wanted.difference(&given).next() {
            Some(name) => Err(format!("the template has `{OPEN}{name}{CLOSE}`, and no such value is given")),
            None => Ok(()),
        }
    }
}

impl Edits for Render {
    const NAME: &'static str = "remit:files/render.render";
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn next(&self, was: &Node, new: &dyn Fn(u32, bool) -> Attributes) -> Result<Node, Failure> {
        let attributes = match was {
            Node::Absent => new(NEW_FILE, false),
            Node::File(file) => file.attributes.clone().with_other_content(),
            _ => return Err(refuse(&self.resource, was)),
        };
        Ok(Node::File(FileNode { content: self.content()?.into_owned(), attributes }))
    }

    fn on_record(&self) -> Option<&[u8]> {
        Some(self.template.as_bytes())
    }

    fn content(&self) -> Result<Cow<'_, [u8]>, Failure> {
        let mut content = String::with_capacity(self.template.len());
        for part in parts(&self.template).map_err(Failure::Invalid)? {
            match part {
                Part::Text(text) => content.push_str(text),
                Part::Value(name, form) => {
                    let value = self.values.iter().find(|value| value.name == name);
                    let value = value.ok_or_else(|| Failure::Invalid(format!("no value `{name}`")))?;
                    content.push_str(&form.of(value.secret.value()?.expose()));
                }
            }
            if content.len() as u64 > MAX_FILE {
                return Err(Failure::Invalid(format!("{} would be over {MAX_FILE} bytes", self.resource)));
            }
        }
        Ok(Cow::Owned(content.into_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use remit_trust::SecretText;

    use super::*;

    fn render(template: &str, values: &[(&str, &str)]) -> Render {
        let value = |(name, value): &(&str, &str)| Value {
            name: (*name).to_owned(),
            secret: Given::new("generated:1", Some(SecretText::new((*value).to_owned()))),
        };
        Render {
            resource: Resource::new(KIND, "etc/app.conf").unwrap(),
            template: template.to_owned(),
            values: values.iter().map(value).collect(),
        }
    }

    #[test]
    fn each_value_stands_where_the_template_says_in_the_form_it_says() {
        let hard = "a\"b\\c d/é\n{{x}}";
        let render = render(
            "x={{x}}\n{\"p\": \"{{x|json}}\"} a://{{x|uri}}@h }} {{y-_1}}",
            &[("x", hard), ("y-_1", "1")],
        );
        render.check().unwrap();
        let content = String::from_utf8(render.content().unwrap().into_owned()).unwrap();
        // A value is not read again: braces in it are its own.
        let json = r#"a\"b\\c d/é\n{{x}}"#;
        let uri = "a%22b%5Cc%20d%2F%C3%A9%0A%7B%7Bx%7D%7D";
        assert_eq!(content, format!("x={hard}\n{{\"p\": \"{json}\"}} a://{uri}@h }}}} 1"));
        assert!(!format!("{render:?}").contains("b\\c"));
        assert!(!serde_json::to_string(&render).unwrap().contains("b\\\\c"));
    }

    #[test]
    fn a_template_says_what_is_wrong_with_it() {
        let long = format!("{{{{x}}}}{}", "a".repeat(MAX_TEMPLATE));
        for (template, values, words) in [
            ("{{x", &["x"][..], "has no `}}`"),
            ("{{x}}{{y}}", &["x"], "no such value is given"),
            ("{{x}}", &["x", "y"], "the template has no `{{y}}`"),
            ("{{x}}", &["x", "x"], "given twice"),
            ("{{ x }}", &["x"], "a value's name is"),
            ("{{x|shell}}", &["x"], "`json` or `uri`"),
            ("{{}}", &[], "a value's name is"),
            (&long, &["x"], "is over 65536 bytes"),
        ] {
            let values: Vec<_> = values.iter().map(|name| (*name, "v")).collect();
            let why = render(template, &values).check().unwrap_err();
            assert!(why.contains(words), "{template}: {why}");
        }
    }
}
