//! What a domain is: the interfaces of one WIT package, and the real systems behind them.
//!
//! Everything that depends on which domains there are reads these types through the module `registry`:
//! linking, admission, scopes, policies, undo, the configuration, `remit doctor`, and offline tests.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use remit_backend::{BackendError, Checked, Systems};
use remit_gate::{Effect, Estate, Known};
use remit_text::Mistake;
use remit_text::Table;

use crate::connected::Served;
use crate::fixture::{Befores, Offline, State, Things};

/// One interface that the host offers: of a domain of its own, or of connectors.
#[derive(Clone)]
pub struct Interface {
    /// The name of the interface without its version: `remit:secrets/rotate`.
    pub name: Cow<'static, str>,
    /// The version the host implements.
    pub version: Cow<'static, str>,
    /// The kind of the resources that a scope grants it on. An interface without a kind is ambient: it reaches nothing
    /// but the run itself, and no scope names it.
    pub kind: Option<Cow<'static, str>>,
    /// The import through which a component uses it, where that is not the interface itself: components use the files
    /// that a scope grants by `remit:files/read` through `wasi:filesystem/types`.
    pub through: Option<&'static str>,
    /// Whether it is a part of WASI, whose patch versions all mean the same.
    pub wasi: bool,
    /// What granting it means, in one plain sentence for an operator.
    pub risk: Cow<'static, str>,
    /// Its operations. The gate never sees any other function of it, because no other reaches anything.
    pub operations: Cow<'static, [Known]>,
    /// The connectors that serve it; none for an interface of a domain of the host.
    pub served: Option<Arc<Served>>,
}

impl Interface {
    /// `NAME@VERSION`, as a component imports it.
    #[must_use]
    pub fn import_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Whether a scope must name it.
    #[must_use]
    pub fn granted_by_scope(&self) -> bool {
        self.kind.is_some()
    }

    /// The strongest effect of its operations.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let rank = |effect: &Effect| match effect {
            Effect::Observe => 0,
            Effect::Change => 1,
            Effect::Disclose => 2,
            Effect::Irrevocable => 3,
        };
        let effects = self.operations.iter().map(|operation| operation.effect);
        effects.max_by_key(rank).unwrap_or(Effect::Observe)
    }
}

impl Debug for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Interface({}@{})", self.name, self.version)
    }
}

/// One domain, as the registry lists it.
pub struct Domain {
    /// The name of its WIT package, and of the package's folder in `wit/`: `secrets`.
    pub name: &'static str,
    /// The WIT interfaces of the domain.
    pub interfaces: &'static [Interface],
    /// The real systems behind it. Without any, all its interfaces are ambient.
    pub systems: Option<&'static dyn AnySystems>,
}

impl Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Domain({})", self.name)
    }
}

/// The real systems of any domain: how `remit.toml` configures them, and how an offline test makes them up.
pub trait AnySystems: Sync {
    /// The name of the configuration section, see [`Systems::SECTION`].
    fn section(&self) -> &'static str;
    /// Takes the sections of this domain out of a configuration.
    fn read(&self, configuration: &mut Table<'_>) -> Result<Arc<dyn Section>, Mistake>;
    /// The name of the fixture's table, see [`Offline::TABLE`].
    fn table(&self) -> &'static str;
    /// Takes what there is before a test out of a fixture.
    fn before(&self, fixture: &mut Table<'_>) -> Result<Arc<dyn Things>, Mistake>;
    /// Takes what there is to be after a test out of a fixture's expectations.
    fn after(&self, expect: &mut Table<'_>) -> Result<Vec<State>, Mistake>;
    /// Why `path` is not a path of this domain, see [`Offline::no_path`].
    fn no_path(&self, path: &str) -> Option<String>;
}

/// What a configuration says of the systems of one domain.
pub trait Section: Any + Debug + Send + Sync {
    /// The name of the configuration section, see [`Systems::SECTION`].
    fn name(&self) -> &'static str;
    /// Adds the systems to an estate.
    fn open(&self, home: &Path, estate: Estate) -> Result<Estate, BackendError>;
    /// Opens the systems and looks at each.
    fn check<'a>(&'a self, home: &'a Path) -> Checks<'a>;
}

/// The results of a check of some systems.
pub type Checks<'a> = Pin<Box<dyn Future<Output = Result<Vec<Checked>, BackendError>> + Send + 'a>>;

/// The [`AnySystems`] of `S`.
pub(crate) struct SystemsOf<S>(std::marker::PhantomData<fn() -> S>);

impl<S: Offline> SystemsOf<S> {
    pub(crate) const NEW: Self = Self(std::marker::PhantomData);
}

impl<S: Offline> AnySystems for SystemsOf<S> {
    fn section(&self) -> &'static str {
        S::SECTION
    }

    fn read(&self, configuration: &mut Table<'_>) -> Result<Arc<dyn Section>, Mistake> {
        Ok(Arc::new(Entries::<S>(S::entries(configuration)?)))
    }

    fn table(&self) -> &'static str {
        S::TABLE
    }

    fn before(&self, fixture: &mut Table<'_>) -> Result<Arc<dyn Things>, Mistake> {
        Ok(Arc::new(Befores::<S>(fixture.take(S::TABLE)?.unwrap_or_default())))
    }

    fn after(&self, expect: &mut Table<'_>) -> Result<Vec<State>, Mistake> {
        let after: Vec<S::After> = expect.take(S::TABLE)?.unwrap_or_default();
        Ok(after.iter().map(State::of::<S>).collect())
    }

    fn no_path(&self, path: &str) -> Option<String> {
        S::no_path(path)
    }
}

/// The sections of one domain.
struct Entries<S: Systems>(Vec<S::Entry>);

impl<S: Systems> Debug for Entries<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Offline> Section for Entries<S> {
    fn name(&self) -> &'static str {
        S::SECTION
    }

    fn open(&self, home: &Path, estate: Estate) -> Result<Estate, BackendError> {
        Ok(S::open(&self.0, home)?.serve(estate))
    }

    fn check<'a>(&'a self, home: &'a Path) -> Checks<'a> {
        Box::pin(async move { Ok(S::open(&self.0, home)?.check().await) })
    }
}

/// The entries of `S` among these sections.
#[must_use]
pub fn entries<S: Systems>(sections: &[Arc<dyn Section>]) -> &[S::Entry] {
    let mut all = sections.iter().map(|section| &**section as &dyn Any);
    all.find_map(|section| section.downcast_ref::<Entries<S>>()).map_or(&[], |entries| &entries.0)
}

/// Lists the interfaces of a domain, each with its operations, and makes the function that links one of them from the
/// same list.
///
/// ```text
/// interfaces! {
///     "remit:secrets/rotate" "0.1.0" on KIND [change Rotate] by bindings::remit::secrets::rotate:
///         "replaces a secret's value";
/// }
/// ```
macro_rules! interfaces {
    ($(
        $name:literal $version:literal $(on $kind:ident)? $(through $through:literal)?
        [$($reach:ident $operation:ty),*] $(by $($module:ident)::+)?: $risk:literal;
    )*) => {
        $crate::domain::interfaces! {
            wasi false; $($name $version $(on $kind)? $(through $through)?
            [$($reach $operation),*] $(by $($module)::+)?: $risk;)*
        }
    };
    (wasi $wasi:literal; $(
        $name:literal $version:literal $(on $kind:ident)? $(through $through:literal)?
        [$($reach:ident $operation:ty),*] $(by $($module:ident)::+)?: $risk:literal;
    )*) => {
        static INTERFACES: &[$crate::Interface] = &[$(
            $crate::Interface {
                name: std::borrow::Cow::Borrowed($name),
                version: std::borrow::Cow::Borrowed($version),
                kind: $crate::domain::interfaces!(@kind $($kind)?),
                through: $crate::domain::interfaces!(@option $($through)?),
                wasi: $wasi,
                risk: std::borrow::Cow::Borrowed($risk),
                operations: std::borrow::Cow::Borrowed(&[$(remit_gate::Known::$reach::<$operation>()),*]),
                served: None,
            },
        )*];

        /// Lets the components of `linker` import an interface of this domain; false if it has none of that name.
        pub(crate) fn link<T: AsMut<$crate::Ctx> + Send + 'static>(
            interface: &str,
            linker: &mut wasmtime::component::Linker<T>,
        ) -> wasmtime::Result<bool> {
            $($(
                if interface == $name {
                    $($module)::+::add_to_linker::<T, $crate::ctx::Run>(linker, T::as_mut)?;
                    return Ok(true);
                }
            )?)*
            let _ = (interface, linker);
            Ok(false)
        }
    };
    (@kind) => { None };
    (@kind $kind:expr) => { Some(std::borrow::Cow::Borrowed($kind)) };
    (@option) => { None };
    (@option $some:expr) => { Some($some) };
}
pub(crate) use interfaces;
