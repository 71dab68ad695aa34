//! Texts with variables in braces: `token {id}`. A brace of the text itself is written twice.

use crate::pointer::shown;

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Variable(Variable),
}

/// What is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `{*}`: whatever the connector wants.
    Any,
    /// `{secret}`: a secret of an answer, which the connector knows by its placeholder.
    Secret,
    /// `{null}`: JSON's `null`, which TOML lacks.
    Null,
    /// `{undo.FIELD}`: of what the preparation decided.
    Undo(Vec<String>),
    /// `{got.FIELD}`: of what `perform` returned.
    Got(Vec<String>),
    /// `{config.FIELD}`: of the operator's entry.
    Config(Vec<String>),
    /// `{NAME}`: a segment of the resource's path, or a parameter; `{NAME.FIELD}` is inside of it.
    Argument { steps: Vec<String>, number: bool },
}

impl Text {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
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
                    "`{}` has a brace without its other; a brace of the text itself is written twice",
                    shown(text)
                ));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(Variable::parse(name)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let text = Self(parts);
        let whole = [Variable::Any, Variable::Secret, Variable::Null];
        let lonely = text.variables().find(|variable| whole.contains(variable) || variable.is_number());
        if let Some(variable) = lonely
            && text.whole().is_none()
        {
            return Err(format!("`{variable}` stands alone, without other text beside it"));
        }
        Ok(text)
    }

    /// The variable that is all of the text.
    pub(crate) fn whole(&self) -> Option<&Variable> {
        match self.0.as_slice() {
            [Part::Variable(variable)] => Some(variable),
            _ => None,
        }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Literal(_) => None,
        })
    }
}

impl Variable {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "*" => return Ok(Self::Any),
            "secret" => return Ok(Self::Secret),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let (path, number) = name.strip_suffix(":number").map_or((name, false), |path| (path, true));
        let steps: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
        let (first, fields) = steps.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let has_fields = !fields.is_empty() && !number;
        let wrong = || format!("`{{{}}}` is not a variable; docs/connectors.md has the list", shown(name));
        // A field of `undo` or `config` may be named as a system names things.
        let is_field = |field: &String| {
            !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        if !fields.iter().all(is_field) {
            return Err(wrong());
        }
        match first {
            "undo" if has_fields => Ok(Self::Undo(fields.to_vec())),
            "got" if has_fields => Ok(Self::Got(fields.to_vec())),
            "config" if has_fields => Ok(Self::Config(fields.to_vec())),
            "undo" | "got" | "config" | "secret" | "null" => Err(wrong()),
            first if is_name(first) => Ok(Self::Argument { steps, number }),
            _ => Err(wrong()),
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Argument { number: true, .. })
    }

    /// The segment of the path or the parameter that it begins with.
    pub(crate) fn argument(&self) -> Option<&str> {
        match self {
            Self::Argument { steps, .. } => steps.first().map(String::as_str),
            _ => None,
        }
    }
}

impl std::fmt::Display for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("{*}"),
            Self::Secret => f.write_str("{secret}"),
            Self::Null => f.write_str("{null}"),
            Self::Undo(steps) => write!(f, "{{undo.{}}}", steps.join(".")),
            Self::Got(steps) => write!(f, "{{got.{}}}", steps.join(".")),
            Self::Config(steps) => write!(f, "{{config.{}}}", steps.join(".")),
            Self::Argument { steps, number } => {
                write!(f, "{{{}{}}}", steps.join("."), if *number { ":number" } else { "" })
            }
        }
    }
}

/// Whether a parameter or a segment of a path can have this name: as in WIT, and not a word that variables begin with.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && !["undo", "got", "config", "secret", "null"].contains(&name)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
