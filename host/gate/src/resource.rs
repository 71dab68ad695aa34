//! What an operation touches, in the one form that the scope, the journal and the backend all see.

use std::borrow::Cow;
use std::fmt;

use miette::Diagnostic;
use serde::{Deserialize, Serialize, Serializer};

const MAX_LENGTH: usize = 512;

/// A resource in canonical form: `KIND:PATH`, for example `secret:prod/payments/stripe`.
///
/// A path is one or more segments joined by `/`. A segment is made of ASCII letters, digits and
/// `- _ . @ + = ~`, is not `.` or `..`, and is not empty. Everything else is refused rather than
/// cleaned up, so that two spellings of one thing cannot exist.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Resource {
    text: String,
    colon: usize,
}

/// Why a text is not a canonical resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("`{shown}` is not a canonical resource: {why}")]
#[diagnostic(
    code(usage::resource),
    help(
        "write a kind and segments of ASCII letters, digits and - _ . @ + = ~, joined by single slashes, such as secret:prod/payments/stripe"
    )
)]
pub struct ResourceError {
    shown: String,
    why: Cow<'static, str>,
}

impl ResourceError {
    /// What is wrong, without the text that it is about.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl Resource {
    /// The resource of `kind` at `path`.
    pub fn new(kind: &str, path: &str) -> Result<Self, ResourceError> {
        check_path(path)?;
        Ok(Self { text: [kind, ":", path].concat(), colon: kind.len() })
    }

    /// The kind of resource, such as `secret`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The path, exactly as the backend gets it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The resource as text: `KIND:PATH`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Checks a path's form; see [`Resource`].
pub(crate) fn check_path(path: &str) -> Result<(), ResourceError> {
    let refuse =
        |why: Cow<'static, str>| Err(ResourceError { shown: path.escape_debug().take(80).collect(), why });
    if path.is_empty() {
        return refuse("it is empty".into());
    }
    if path.len() > MAX_LENGTH {
        return refuse("it is longer than 512 bytes".into());
    }
    for segment in path.split('/') {
        match segment {
            "" => return refuse("it has an empty segment (a leading, trailing or double slash)".into()),
            "." | ".." => return refuse("`.` and `..` are not allowed".into()),
            _ => {}
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@+=~".contains(c);
        match segment.chars().find(|c| !allowed(*c)) {
            None => {}
            Some(c) if c.is_ascii() => {
                return refuse(
                    format!("it has the character `{}`, which is not allowed", c.escape_debug()).into(),
                );
            }
            Some(c) => {
                let shown = c.escape_unicode();
                return refuse(
                    format!("it has `{shown}`, a character outside ASCII, which could look like another")
                        .into(),
                );
            }
        }
    }
    Ok(())
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl TryFrom<String> for Resource {
    type Error = ResourceError;
    fn try_from(text: String) -> Result<Self, ResourceError> {
        let (kind, path) = split_kind(&text)?;
        Self::new(kind, path)
    }
}

/// The kind of a resource or a pattern, and the rest.
pub(crate) fn split_kind(text: &str) -> Result<(&str, &str), ResourceError> {
    match text.split_once(':') {
        Some((kind, path))
            if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') =>
        {
            Ok((kind, path))
        }
        _ => {
            let shown = text.escape_debug().take(80).collect();
            Err(ResourceError { shown, why: "it has no kind: write `secret:PATH` or `file:PATH`".into() })
        }
    }
}
