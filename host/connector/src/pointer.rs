//! JSON pointers (RFC 6901) with `*` for every member or element.

use serde_json::Value;

/// The longest pointer, in bytes.
const LONGEST: usize = 200;

/// Where in an answer secrets are: `/data/*/token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Every,
    To(String),
}

impl Pointer {
    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{}` is not a JSON pointer: {why}", shown(text)));
        if text.len() > LONGEST {
            return refuse("it is too long");
        }
        let Some(rest) = text.strip_prefix('/') else {
            return refuse("write it like /data/*/token");
        };
        let mut steps = Vec::new();
        for step in rest.split('/') {
            if step == "*" {
                steps.push(Step::Every);
                continue;
            }
            let plain = step.replace("~0", "").replace("~1", "");
            if plain.contains('~') {
                return refuse("`~` stands only before 0 (for ~) and 1 (for /)");
            }
            steps.push(Step::To(step.replace("~1", "/").replace("~0", "~")));
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// Lets `change` change each value that it points to.
    pub(crate) fn each(&self, value: &mut Value, change: &mut impl FnMut(&mut Value)) {
        walk(&self.steps, value, change);
    }
}

fn walk(steps: &[Step], value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else { return change(value) };
    match (step, value) {
        (Step::Every, Value::Array(items)) => items.iter_mut().for_each(|item| walk(rest, item, change)),
        (Step::Every, Value::Object(members)) => {
            members.values_mut().for_each(|member| walk(rest, member, change));
        }
        (Step::To(name), Value::Object(members)) => {
            if let Some(member) = members.get_mut(name) {
                walk(rest, member, change);
            }
        }
        (Step::To(index), Value::Array(items)) => {
            // As RFC 6901 has it: no sign, no zeros in front.
            let index = index.parse::<usize>().ok().filter(|at| at.to_string() == *index);
            if let Some(item) = index.and_then(|at| items.get_mut(at)) {
                walk(rest, item, change);
            }
        }
        _ => {}
    }
}

/// A text of a description, for an error.
pub(crate) fn shown(text: &str) -> String {
    remit_text::short_line(text, 60).into_owned()
}
