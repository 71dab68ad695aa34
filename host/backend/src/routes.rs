//! Which store serves a resource: the one with the longest prefix of its path.

use std::sync::Arc;

use remit_gate::{Failure, Resource};

use crate::BackendError;

/// The stores of one kind of resource, each with the prefix of the paths that it serves. Cheap to clone.
pub struct Routes<S: ?Sized> {
    kind: &'static str,
    /// The stores with their prefixes, the longest prefix first.
    routes: Arc<[(String, Arc<S>)]>,
}

impl<S: ?Sized> Clone for Routes<S> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, routes: Arc::clone(&self.routes) }
    }
}

impl<S: ?Sized> Routes<S> {
    /// Each prefix is a canonical path of a resource of this kind, or empty for all paths.
    pub fn new(kind: &'static str, mut routes: Vec<(String, Arc<S>)>) -> Result<Self, BackendError> {
        for (index, (prefix, _)) in routes.iter().enumerate() {
            if !prefix.is_empty() {
                Resource::new(kind, prefix)
                    .map_err(|error| BackendError::setting("prefix", error.to_string()))?;
            }
            if routes[..index].iter().any(|(other, _)| other == prefix) {
                return Err(BackendError::DuplicatePrefix { kind, prefix: prefix.clone() });
            }
        }
        routes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(Self { kind, routes: routes.into() })
    }

    /// The store that serves a resource.
    pub fn at(&self, resource: &Resource) -> Result<&S, Failure> {
        if resource.kind() != self.kind {
            return Err(Failure::Invalid(format!("{resource} is not a {}", self.kind)));
        }
        match longest(self.routes.iter(), |(prefix, _)| prefix, resource.path()) {
            Some((_, store)) => Ok(store),
            None => Err(Failure::NotFound(format!("no configured store serves {resource}"))),
        }
    }

    /// Every prefix with its store, the longest prefix first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &S)> {
        self.routes.iter().map(|(prefix, store)| (prefix.as_str(), &**store))
    }

    /// The same prefixes with other stores.
    #[must_use]
    pub fn map<T: ?Sized>(&self, mut other: impl FnMut(&S) -> Arc<T>) -> Routes<T> {
        let routes = self.routes.iter().map(|(prefix, store)| (prefix.clone(), other(store)));
        Routes { kind: self.kind, routes: routes.collect() }
    }
}

impl<S: ?Sized> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.routes.iter().map(|(prefix, _)| prefix)).finish()
    }
}

/// Finds the item with the longest prefix that serves `path`.
pub fn longest<T>(of: impl Iterator<Item = T>, prefix: impl Fn(&T) -> &str, path: &str) -> Option<T> {
    of.filter(|one| serves(prefix(one), path)).max_by_key(|one| prefix(one).len())
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn serves(prefix: &str, path: &str) -> bool {
    prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(prefixes: &[&str]) -> Result<Routes<str>, BackendError> {
        Routes::new(
            "ticket",
            prefixes.iter().map(|prefix| ((*prefix).to_owned(), Arc::from(*prefix))).collect(),
        )
    }

    fn chosen<'a>(routes: &'a Routes<str>, path: &str) -> Result<&'a str, Failure> {
        routes.at(&Resource::new("ticket", path).unwrap())
    }

    #[test]
    fn longest_prefix_of_whole_segments_wins() {
        let routes = routes(&["prod", "", "prod/pay", "prod/pay/eu"]).unwrap();
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
            assert_eq!(chosen(&routes, path), Ok(prefix), "{path}");
        }
        let listed = routes.map(|store| Arc::new(store.len()));
        assert_eq!(
            listed.iter().collect::<Vec<_>>(),
            [("prod/pay/eu", &11), ("prod/pay", &8), ("prod", &4), ("", &0)]
        );
    }

    #[test]
    fn no_store_is_an_answer() {
        let routes = routes(&["prod"]).unwrap();
        assert!(matches!(chosen(&routes, "dev/x"), Err(Failure::NotFound(_))));
        let secret = Resource::new("secret", "prod/x").unwrap();
        let refused = routes.at(&secret).unwrap_err();
        assert_eq!(refused, Failure::Invalid("secret:prod/x is not a ticket".to_owned()));
    }

    #[test]
    fn prefixes_are_canonical_and_distinct() {
        assert!(matches!(routes(&["a", "b", "a"]), Err(BackendError::DuplicatePrefix { .. })));
        for prefix in ["a/", "/a", "a//b", "../a", "a/%2e", "a b"] {
            let refused = routes(&[prefix]);
            assert!(matches!(refused, Err(BackendError::Setting { setting: "prefix", .. })), "{prefix}");
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
            let routes = routes(&prefixes.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            proptest::prop_assert_eq!(chosen(&routes, &path).ok(), best.map(String::as_str));
        }
    }
}
