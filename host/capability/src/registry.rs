//! The registry: every domain, one line each.

use remit_gate::{Known, Scope, ScopeError};
use wasmtime::component::Linker;

use crate::Ctx;
use crate::domain::{AnySystems, Domain, Interface};

/// Makes the registry and, from the same list, the function that links an interface.
macro_rules! domains {
    ($($(#[$when:meta])* $domain:ident,)*) => {
        static DOMAINS: &[&Domain] = &[$($(#[$when])* &crate::$domain::DOMAIN,)*];

        impl Interface {
            /// Lets the components of `linker` import this interface, and only this one.
            pub fn link<T: AsMut<Ctx> + Send + 'static>(&self, linker: &mut Linker<T>) -> wasmtime::Result<()> {
                $(
                    $(#[$when])*
                    if crate::$domain::link(self.name, linker)? {
                        return Ok(());
                    }
                )*
                Err(wasmtime::Error::msg(format!("no component imports {}", self.name)))
            }
        }
    };
}

domains! {
    secrets,
    files,
    host,
    types,
    #[cfg(feature = "test-domain")]
    lamps,
    wasi,
}

/// Every domain of this host.
#[must_use]
pub fn domains() -> &'static [&'static Domain] {
    DOMAINS
}

/// The systems of each domain that has some.
pub fn systems() -> impl Iterator<Item = &'static dyn AnySystems> {
    DOMAINS.iter().filter_map(|domain| domain.systems)
}

fn all() -> impl Iterator<Item = &'static Interface> {
    DOMAINS.iter().flat_map(|domain| domain.interfaces)
}

/// Every interface that a component can import.
pub fn interfaces() -> impl Iterator<Item = &'static Interface> {
    all().filter(|interface| interface.through.is_none())
}

/// Every interface that a scope can grant.
pub fn granted() -> impl Iterator<Item = &'static Interface> {
    all().filter(|interface| interface.granted_by_scope())
}

/// The interfaces that a component can use through an import of `interface`, beside that itself: it is let in without a
/// grant of them, and can then do nothing through it.
pub fn powers(interface: &str) -> impl Iterator<Item = &'static Interface> {
    all().filter(move |power| power.through.is_some_and(|import| import == interface))
}

/// The interface that a component's import `NAME@VERSION` means, if the host offers it.
///
/// Our own versions must be equal: wasmtime's linker would bind any compatible one, and an operator
/// grants the one that was inspected. WASI promises that every 0.2.x means the same.
#[must_use]
pub fn find(import: &str) -> Option<&'static Interface> {
    let (name, version) = import.split_once('@')?;
    let found = interfaces().find(|interface| interface.name == name)?;
    let same = version == found.version
        || found.wasi
            && version
                .strip_prefix("0.2.")
                .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()));
    same.then_some(found)
}

/// The operation that the journal knows as `name`.
#[must_use]
pub fn operation(name: &str) -> Option<&'static Known> {
    all().flat_map(|interface| interface.operations).find(|operation| operation.name == name)
}

/// Checks that each rule of a scope allows an interface that this host has, on resources of that interface's kind. A
/// rule that never applies is a mistake that its author would not notice.
pub fn check(scope: &Scope) -> Result<(), ScopeError> {
    const SHOWN: &str = "the scope";
    scope.check(SHOWN)?;
    let wrong = |detail: String| Err(ScopeError::Value { file: SHOWN.to_owned(), detail });
    for allow in &scope.allow {
        let (name, _) = allow.interface();
        let Some(kind) = granted().find(|known| known.name == name).and_then(|known| known.kind) else {
            let known: Vec<&str> = granted().map(|known| known.name).collect();
            return wrong(format!(
                "{name} is nothing that a scope grants; it can grant {}",
                known.join(", ")
            ));
        };
        if let Some(pattern) = allow.resources.iter().find(|pattern| pattern.kind() != kind) {
            return wrong(format!(
                "{name} has to do with resources of the kind `{kind}:`, not with {pattern}"
            ));
        }
    }
    Ok(())
}
