//! JSON pointers (RFC 6901) with `*` for every member or element.

/// Where in an answer secrets are: `/data/*/token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
