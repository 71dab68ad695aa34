//! An interface that a component imports.

use remit_capability::{BUILT_IN, Interface, Registry};
use remit_engine::Signatures;
use serde::{Deserialize, Serialize};

/// One interface that a component imports. Whether it is offered is for a [`Registry`] to say: what connectors serve differs
/// from home to home.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Import {
    /// The name in the component: `remit:secrets/rotate@0.1.0`.
    pub name: String,
    /// Of an interface that is not the host's own, its functions as the component imports them; or why no connector can serve
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Result<Signatures, String>>,
}

impl Import {
    /// Whether it has types only, and so can do nothing.
    #[must_use]
    pub fn is_types_only(&self) -> bool {
        matches!(&self.functions, Some(Ok(functions)) if functions.0.is_empty())
    }

    /// Whether a component with this import runs in a home with this registry, as far as its name goes.
    #[must_use]
    pub fn is_offered(&self, registry: &Registry) -> bool {
        registry.find(&self.name).is_some() || self.is_types_only() && registry.serves_package(&self.name)
    }

    /// The interface of that name, where it is offered in another version only.
    #[must_use]
    pub fn other_version<'a>(&self, registry: &'a Registry) -> Option<&'a Interface> {
        if registry.find(&self.name).is_some() {
            return None;
        }
        registry.named(self.name.split('@').next()?)
    }

    /// Why what the connectors of this registry serve is not what it imports; none if it is, or if they do not serve it.
    pub(crate) fn misfit(&self, registry: &Registry) -> Option<String> {
        let served = registry.find(&self.name)?.served.as_ref()?;
        let functions = match self.functions.as_ref()? {
            Ok(functions) => functions,
            Err(why) => return Some(format!("its import {}: {why}", self.name)),
        };
        functions.0.iter().find_map(|(name, signature)| {
            let what = match served.functions.0.get(name) {
                None => "is no function of the interface that its connectors serve",
                Some(own) if own != signature => "has another type than with the connectors that serve it",
                Some(_) => return None,
            };
            Some(format!("its import {}: `{name}` {what}", self.name))
        })
    }

    /// The functions that a connector serves; none of an interface of the host.
    pub(crate) fn connected(&self) -> Option<&Signatures> {
        let functions = self.functions.as_ref()?.as_ref().ok()?;
        (BUILT_IN.find(&self.name).is_none() && !functions.0.is_empty()).then_some(functions)
    }
}

/// An import that a home does not offer.
#[derive(Clone, Debug)]
pub struct NotOffered {
    /// The name in the component.
    pub name: String,
    /// The version that is offered, if another one is.
    pub offered: Option<String>,
}

impl NotOffered {
    /// This import, if it is one.
    #[must_use]
    pub fn of(import: &Import, registry: &Registry) -> Option<Self> {
        let offered = import.other_version(registry).map(|ours| ours.version.to_string());
        (!import.is_offered(registry)).then(|| Self { name: import.name.clone(), offered })
    }
}

impl std::fmt::Display for NotOffered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&remit_text::short_line(&self.name, 200))?;
        match &self.offered {
            Some(version) => write!(f, " (it offers {version})"),
            None => Ok(()),
        }
    }
}
