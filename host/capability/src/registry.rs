//! The registry: every domain, one line each.

use std::sync::{Arc, LazyLock};

use remit_gate::{Known, Scope, ScopeError, SealedValues};
use wasmtime::component::Linker;

use remit_journal::ConnectorRef;

use crate::Ctx;
use crate::connected::{Connector, interfaces, known, of_record};
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
                    if crate::$domain::link(&self.name, linker)? {
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
    databases,
    evidence,
    network,
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

/// Every interface that the actions of one home can import. The domains of this host are the same in every home; the
/// connectors are those of the home's configuration.
///
/// It is a value. Two homes in one process have two, and a run keeps the one that it started with.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    connected: Arc<[Interface]>,
}

/// The registry of a home without connectors.
pub static BUILT_IN: LazyLock<Registry> = LazyLock::new(Registry::default);

impl Registry {
    /// The registry of a home with these connectors. An error says what they do not agree on.
    pub fn new(connectors: &[Arc<dyn Connector>]) -> Result<Self, String> {
        let connected = interfaces(connectors)?;
        for interface in &connected {
            if BUILT_IN.named(&interface.name).is_some() {
                return Err(format!("{} is an interface of the host itself", interface.name));
            }
            let reserved = |own: &Interface| own.kind == interface.kind;
            if BUILT_IN.granted().any(reserved) || interface.kind.as_deref() == Some("run") {
                let kind = interface.kind.as_deref().unwrap_or_default();
                return Err(format!(
                    "{}: resources of the kind `{kind}:` are the host's own",
                    interface.name
                ));
            }
        }
        Ok(Self { connected: connected.into() })
    }

    /// The registry of a recorded run. Of its connectors, `by` are there to take changes back, and of its sealed inputs, `inputs`.
    #[must_use]
    pub fn of_record(
        connectors: &[ConnectorRef],
        by: &[Arc<dyn Connector>],
        inputs: &Arc<SealedValues>,
    ) -> Self {
        Self { connected: of_record(connectors, by, inputs).into() }
    }

    fn all(&self) -> impl Iterator<Item = &Interface> {
        DOMAINS.iter().flat_map(|domain| domain.interfaces).chain(&*self.connected)
    }

    /// Every interface that a component can import.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.all().filter(|interface| interface.through.is_none())
    }

    /// Every interface that a scope can grant.
    pub fn granted(&self) -> impl Iterator<Item = &Interface> {
        self.all().filter(|interface| interface.granted_by_scope())
    }

    /// The interfaces that a component can use through an import of `interface`, beside that itself: it is let in without a
    /// grant of them, and can then do nothing through it.
    pub fn powers<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a Interface> {
        self.all().filter(move |power| power.through.is_some_and(|import| import == interface))
    }

    /// The interface that a component's import `NAME@VERSION` means, if the home offers it.
    ///
    /// Our own versions must be equal: wasmtime's linker would bind any compatible one, and an operator
    /// grants the one that was inspected. WASI promises that every 0.2.x means the same.
    #[must_use]
    pub fn find(&self, import: &str) -> Option<&Interface> {
        let (name, version) = import.split_once('@')?;
        let same = |found: &&Interface| {
            version == found.version
                || found.wasi
                    && version
                        .strip_prefix("0.2.")
                        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
        };
        self.named(name).filter(same)
    }

    /// The interface of this name, in whatever version it is offered.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Interface> {
        self.interfaces().find(|interface| interface.name == name)
    }

    /// Whether connectors serve another interface of the package of this one, in the same version: its types are then theirs.
    #[must_use]
    pub fn serves_package(&self, import: &str) -> bool {
        let package = |name: &str| name.split_once('/').map(|(package, _)| package.to_owned());
        let Some((name, version)) = import.split_once('@') else { return false };
        self.connected.iter().any(|other| other.version == version && package(&other.name) == package(name))
    }

    /// The operation that the journal knows as `name`.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<Known> {
        let found = self.all().flat_map(|interface| &*interface.operations).find(|known| known.name == name);
        found.cloned().or_else(|| {
            let served = self.named(name.rsplit_once('.')?.0)?.served.as_ref()?;
            Some(known(served, name.to_owned()))
        })
    }

    /// Checks that each rule of a scope allows an interface that this home has, on resources of that interface's kind. A
    /// rule that never applies is a mistake that its author would not notice.
    pub fn check(&self, scope: &Scope) -> Result<(), ScopeError> {
        const SHOWN: &str = "the scope";
        scope.check(SHOWN)?;
        let wrong = |detail: String| Err(ScopeError::Value { file: SHOWN.to_owned(), detail });
        for allow in &scope.allow {
            let (name, _) = allow.interface();
            let known = self.granted().find(|known| known.name == name).and_then(|known| known.kind.as_ref());
            let Some(kind) = known else {
                let known: Vec<&str> = self.granted().map(|known| &*known.name).collect();
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
}
