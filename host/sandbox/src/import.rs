//! An interface that a component imports.

use remit_capability::Interface;
use serde::{Deserialize, Serialize};

/// One interface that a component imports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Named")]
pub struct Import {
    /// The name in the component: `remit:secrets/rotate@0.1.0`.
    pub name: String,
    /// What the host knows about it; none if the host does not offer it.
    #[serde(skip)]
    pub interface: Option<&'static Interface>,
}

/// An import as it is noted in the cache: what the host offers is looked up each time.
#[derive(Deserialize)]
struct Named {
    name: String,
}

impl From<Named> for Import {
    fn from(Named { name }: Named) -> Self {
        Self::named(name)
    }
}

impl Import {
    /// The import of this name.
    #[must_use]
    pub fn named(name: String) -> Self {
        let interface = remit_capability::find(&name);
        Self { name, interface }
    }

    /// The interface of that name, where the host has it in another version only.
    #[must_use]
    pub fn other_version(&self) -> Option<&'static Interface> {
        if self.interface.is_some() {
            return None;
        }
        let name = self.name.split('@').next()?;
        remit_capability::interfaces().find(|interface| interface.name == name)
    }

    /// Its name in a list of imports that are not offered, with the version that is.
    #[must_use]
    pub fn not_offered(&self) -> String {
        let name = remit_text::short_line(&self.name, 200);
        match self.other_version() {
            Some(ours) => format!("{name} (it offers {})", ours.version),
            None => name.into_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn whether_an_import_is_offered_is_looked_up_each_time() {
        let import = |name: &str| Import { name: name.to_owned(), interface: None };
        let text = serde_json::to_string(&[import("remit:host/log@0.1.0"), import("a:b/c@1.0.0")]).unwrap();
        let read: Vec<Import> = serde_json::from_str(&text).unwrap();
        assert!(read[0].interface.is_some() && read[1].interface.is_none());
    }
}
