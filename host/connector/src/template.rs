//! A request with variables: what may be sent, once they are filled.

use std::fmt;

/// A request that a connector may send: `DELETE /tokens/{id}`, with what else is in it.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
}

impl fmt::Display for Template {
    /// As it is written: `POST /tokens/revoke with JSON {"id":"{id}"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// Whether its method is `GET` or `HEAD`.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        unimplemented!()
    }
}
