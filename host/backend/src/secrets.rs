//! Secrets: what a store of them can do, and which store serves which path.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use remit_gate::{Authority, Failure, Resource};
use serde::{Deserialize, Serialize};

pub use crate::fields::{Fields, SecretText};
pub use crate::generator::Generator;
pub use crate::played::Played;
use crate::{BackendError, Embedded, OpenBao, SecretsConfig, Serving};

/// The kind of every resource served here: `secret:prod/payments/stripe`.
const KIND: &str = "secret";

/// A boxed answer, for trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What makes a secret the same one as before, whatever its path: text of the store's, only ever compared. Who
/// deletes a secret with all its versions and makes one of the same path has made another secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    /// By the store's own words.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether what was found can be what was recorded. Records of the first version have no identity, and so any
    /// secret of the path is theirs.
    #[must_use]
    pub fn is_still(recorded: Option<&Self>, found: Option<&Self>) -> bool {
        recorded.is_none() || recorded == found
    }
}

/// What is known of a secret without reading its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Which secret it is. Every store says so; it is no part of what an action is told, nor of its record.
    #[serde(skip)]
    pub identity: Option<Identity>,
    /// The newest version's number; 0 if the secret has none.
    pub current: u64,
    /// All versions the store still knows, oldest first.
    pub versions: Vec<Version>,
}

impl Metadata {
    /// Version `number`, or [`Failure::NotFound`].
    pub fn version(&self, path: &str, number: u64) -> Result<&Version, Failure> {
        let found = self.versions.iter().find(|version| version.number == number);
        found.ok_or_else(|| Failure::NotFound(format!("{path} has no version {number}")))
    }

    /// [`Failure::Conflict`] if this is another secret than the one that was recorded.
    pub fn must_be(&self, recorded: Option<&Identity>, path: &str) -> Result<(), Failure> {
        if Identity::is_still(recorded, self.identity.as_ref()) {
            Ok(())
        } else {
            Err(Failure::Conflict(format!(
                "{path} is another secret now: the one that was recorded was deleted with all its versions"
            )))
        }
    }
}

/// One version of a secret, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts from 1.
    pub number: u64,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created: u64,
    /// Whether it can be read.
    pub state: VersionState,
    /// When the store will delete it by itself. No part of what an action is told, nor of its record.
    #[serde(skip)]
    pub expires: Option<Timestamp>,
}

/// What can be done with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// It can be read.
    Enabled,
    /// It cannot be read until it is enabled again.
    Disabled,
    /// Its value is gone for good.
    Destroyed,
}

impl std::fmt::Display for VersionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Destroyed => "destroyed",
        })
    }
}

/// A change of one version's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Makes an enabled version unreadable.
    Disable,
    /// Makes a disabled version readable again.
    Enable,
    /// Destroys a version's value for good.
    Destroy,
}

impl Turn {
    /// The state a version has afterwards, if it may be changed from `state`.
    pub(crate) fn from(self, path: &str, version: u64, state: VersionState) -> Result<VersionState, Failure> {
        use VersionState::{Destroyed, Disabled, Enabled};
        match (self, state) {
            (Self::Disable, Enabled) => Ok(Disabled),
            (Self::Enable, Disabled) => Ok(Enabled),
            (Self::Destroy, Enabled | Disabled) => Ok(Destroyed),
            _ => Err(Failure::Conflict(format!("version {version} of {path} is {state}"))),
        }
    }
}

/// Something that the host may need a right of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To write a version of a secret that there is.
    Put,
    /// To change a version's state.
    Turn(Turn),
}

/// Whether the host's own credential is enough for an [`Act`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// It is.
    Held,
    /// It is not: what it lacks, and what to grant.
    Lacking(String),
    /// The store does not say: why, and what to grant.
    Unknown(String),
}

/// A secret that is to be changed, and which one it has to be.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where it is.
    pub secret: &'a Resource,
    /// What [`Metadata::identity`] was; none in records of the first version.
    pub identity: Option<&'a Identity>,
}

/// What can be seen of a store of versioned secrets, each named by a [`Resource`] so that its path is canonical.
/// Nothing here changes anything: a rehearsal is given this, and no [`SecretStore`].
///
/// Every method may fail with `Denied` (the host's own credential is not enough), `Invalid` (a version
/// number that makes no sense) or `Unavailable`, besides what it says itself.
pub trait SecretView: Send + Sync {
    /// The versions of a secret; `NotFound` if there is no such secret.
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata>;

    /// The fields of one version: secret material. `NotFound` if it is not there or not enabled.
    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields>;

    /// Whether the host itself may do this: an undo that it may not do is not promised.
    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right>;

    /// Whether the store can be used right now for what is at `prefix` and below; says what it is, in a line for a
    /// person. `Denied` names every right that is missing.
    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String>;
}

/// A store of versioned secrets.
///
/// Every change compares right before it, in one step with it where the system can do that: `Conflict` if the
/// secret is another one than [`Target`] says. After `Unavailable` the change may have happened.
pub trait SecretStore: SecretView {
    /// Writes a new version if `expected_current` still is the newest (0: there is no secret yet) and
    /// answers its number; `Conflict` if it is not. The store compares the number and writes in one step.
    fn put<'a>(
        &'a self,
        target: Target<'a>,
        fields: &'a Fields,
        expected_current: u64,
        by: Authority<'a>,
    ) -> BoxFuture<'a, u64>;

    /// Changes a version's state; `Conflict` if it is not in one that this begins with.
    fn turn<'a>(
        &'a self,
        target: Target<'a>,
        version: u64,
        turn: Turn,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()>;
}

/// Every store, by the prefix of the paths it serves. The only thing operations see. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    /// Longest prefix first.
    routes: Arc<[Route]>,
}

struct Route {
    prefix: String,
    reach: Reach,
    generator: Generator,
}

/// What lies at the end of a route. A rehearsal has nothing that could change a store.
enum Reach {
    Store(Arc<dyn SecretStore>),
    Played(Played),
}

impl Route {
    fn view(&self) -> &dyn SecretView {
        match &self.reach {
            Reach::Store(store) => &**store,
            Reach::Played(played) => played,
        }
    }
}

impl Secrets {
    /// Opens every configured store. Files are relative to `home`.
    ///
    /// An OpenBao server is not contacted: that is what [`SecretView::check`] is for.
    pub fn open(entries: &[SecretsConfig], home: &Path) -> Result<Self, BackendError> {
        let mut routes: Vec<(String, Arc<dyn SecretStore>, Generator)> = Vec::new();
        for entry in entries {
            let store: Arc<dyn SecretStore> = match &entry.serving {
                Serving::Embedded { file } => Arc::new(Embedded::open(&home.join(file))?),
                Serving::Openbao(server) => Arc::new(OpenBao::open(server, home)?),
            };
            routes.push((entry.prefix.clone(), store, entry.generator.clone()));
        }
        Self::new(routes)
    }

    /// Routes paths to stores; each prefix is a canonical path, or empty for all paths.
    pub fn new(routes: Vec<(String, Arc<dyn SecretStore>, Generator)>) -> Result<Self, BackendError> {
        let mut routes: Vec<Route> = routes
            .into_iter()
            .map(|(prefix, store, generator)| Route { prefix, reach: Reach::Store(store), generator })
            .collect();
        for (index, route) in routes.iter().enumerate() {
            check_prefix(&route.prefix)?;
            if routes[..index].iter().any(|other| other.prefix == route.prefix) {
                return Err(BackendError::DuplicatePrefix { prefix: route.prefix.clone() });
            }
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Ok(Self { routes: routes.into() })
    }

    /// The same secrets for one rehearsal: it looks at the stores, and plays its changes here.
    #[must_use]
    pub fn for_rehearsal(&self) -> Self {
        let routes = self.routes.iter().map(|route| Route {
            prefix: route.prefix.clone(),
            reach: Reach::Played(match &route.reach {
                Reach::Store(store) => Played::new(Arc::clone(store) as Arc<dyn SecretView>),
                Reach::Played(played) => played.again(),
            }),
            generator: route.generator.clone(),
        });
        Self { routes: routes.collect() }
    }

    fn route(&self, resource: &Resource) -> Result<&Route, Failure> {
        if resource.kind() != KIND {
            return Err(Failure::Invalid(format!("{resource} is not a secret")));
        }
        let route = self.routes.iter().find(|route| serves(&route.prefix, resource.path()));
        route.ok_or_else(|| Failure::NotFound(format!("no configured store serves {resource}")))
    }

    /// What can be seen of the store that serves a secret, and what makes its fresh values.
    pub fn at(&self, resource: &Resource) -> Result<(&dyn SecretView, &Generator), Failure> {
        let route = self.route(resource)?;
        Ok((route.view(), &route.generator))
    }

    /// The store that serves a secret, to change it. A rehearsal has none.
    pub fn store(&self, resource: &Resource) -> Result<&dyn SecretStore, Failure> {
        match &self.route(resource)?.reach {
            Reach::Store(store) => Ok(&**store),
            Reach::Played(_) => Err(Failure::Denied(format!("a rehearsal does not change {resource}"))),
        }
    }

    /// Where a rehearsal plays its changes of a secret; none in a run.
    #[must_use]
    pub fn played(&self, resource: &Resource) -> Option<&Played> {
        match &self.route(resource).ok()?.reach {
            Reach::Store(_) => None,
            Reach::Played(played) => Some(played),
        }
    }

    /// Every prefix with what can be seen of its store, for the operator's checks.
    pub fn stores(&self) -> impl Iterator<Item = (&str, &dyn SecretView)> {
        self.routes.iter().map(|route| (route.prefix.as_str(), route.view()))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")?;
        f.debug_set().entries(self.routes.iter().map(|route| &route.prefix)).finish()
    }
}

/// Whether `path` is `prefix` or below it, by whole segments.
pub(crate) fn serves(prefix: &str, path: &str) -> bool {
    prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_prefix(prefix: &str) -> Result<(), BackendError> {
    if prefix.is_empty() {
        return Ok(());
    }
    match Resource::new(KIND, prefix) {
        Ok(_) => Ok(()),
        Err(error) => Err(BackendError::Setting { setting: "prefix", why: error.to_string() }),
    }
}

/// Why a version that is there cannot be read.
pub(crate) fn unreadable(path: &str, version: u64, state: VersionState) -> Failure {
    Failure::NotFound(format!("version {version} of {path} is {state}"))
}

/// Version 0 means "the newest" to some servers and nothing here.
pub(crate) fn check_version(version: u64) -> Result<(), Failure> {
    if version == 0 { Err(Failure::Invalid("versions count from 1".to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that only knows its own name.
    struct Named(&'static str);

    impl SecretView for Named {
        fn metadata<'a>(&'a self, _: &'a Resource) -> BoxFuture<'a, Metadata> {
            unreachable!()
        }
        fn read<'a>(&'a self, _: &'a Resource, _: u64) -> BoxFuture<'a, Fields> {
            unreachable!()
        }
        fn right<'a>(&'a self, _: &'a Resource, _: Act) -> BoxFuture<'a, Right> {
            unreachable!()
        }
        fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, String> {
            Box::pin(async { Ok(self.0.to_owned()) })
        }
    }

    impl SecretStore for Named {
        fn put<'a>(&'a self, _: Target<'a>, _: &'a Fields, _: u64, _: Authority<'a>) -> BoxFuture<'a, u64> {
            unreachable!()
        }
        fn turn<'a>(&'a self, _: Target<'a>, _: u64, _: Turn, _: Authority<'a>) -> BoxFuture<'a, ()> {
            unreachable!()
        }
    }

    fn router(prefixes: &[&'static str]) -> Result<Secrets, BackendError> {
        Secrets::new(
            prefixes
                .iter()
                .map(|prefix| {
                    let store: Arc<dyn SecretStore> = Arc::new(Named(prefix));
                    ((*prefix).to_owned(), store, Generator::default())
                })
                .collect(),
        )
    }

    async fn chosen(secrets: &Secrets, path: &str) -> Result<String, Failure> {
        secrets.at(&Resource::new(KIND, path).unwrap())?.0.check("").await
    }

    #[tokio::test]
    async fn longest_prefix_of_whole_segments_wins() {
        let secrets = router(&["prod", "", "prod/pay", "prod/pay/eu"]).unwrap();
        for (path, prefix) in [
            ("prod", "prod"),
            ("prod/x", "prod"),
            ("production", ""),
            ("prod/payments", "prod"),
            ("prod/pay", "prod/pay"),
            ("prod/pay/euro", "prod/pay"),
            ("prod/pay/eu/x", "prod/pay/eu"),
            ("dev/prod/pay", ""),
        ] {
            assert_eq!(chosen(&secrets, path).await.unwrap(), prefix, "{path}");
        }
        assert_eq!(
            secrets.stores().map(|(prefix, _)| prefix).collect::<Vec<_>>(),
            ["prod/pay/eu", "prod/pay", "prod", ""]
        );
    }

    #[tokio::test]
    async fn no_store_is_an_answer() {
        let secrets = router(&["prod"]).unwrap();
        assert!(matches!(chosen(&secrets, "dev/x").await, Err(Failure::NotFound(_))));
        let ticket = Resource::new("ticket", "prod/x").unwrap();
        assert!(matches!(secrets.at(&ticket), Err(Failure::Invalid(_))));
    }

    #[test]
    fn prefixes_are_canonical_and_distinct() {
        assert!(matches!(router(&["a", "b", "a"]), Err(BackendError::DuplicatePrefix { .. })));
        for prefix in ["a/", "/a", "a//b", "../a", "a/%2e", "a b"] {
            assert!(
                matches!(router(&[prefix]), Err(BackendError::Setting { setting: "prefix", .. })),
                "{prefix}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn router_agrees_with_a_naive_model(
            prefixes in proptest::collection::btree_set("[ab]{1,2}(/[ab]{1,2}){0,2}", 0..6),
            path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
        ) {
            let segments: Vec<&str> = path.split('/').collect();
            let best = prefixes
                .iter()
                .filter(|prefix| segments.starts_with(&prefix.split('/').collect::<Vec<_>>()))
                .max_by_key(|prefix| prefix.split('/').count());
            let routes = prefixes
                .iter()
                .map(|prefix| {
                    let store: Arc<dyn SecretStore> = Arc::new(Named(prefix.clone().leak()));
                    (prefix.clone(), store, Generator::default())
                })
                .collect();
            let secrets = Secrets::new(routes).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(chosen(&secrets, &path)).ok();
            proptest::prop_assert_eq!(found.as_ref(), best);
        }
    }
}
