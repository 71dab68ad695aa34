use std::sync::atomic::{AtomicU64, Ordering};

use remit_gate::{Authority, Failure};

use super::*;
use crate::secrets::{Identity, SecretStore, Target};
use crate::{Generator, Secrets};

/// One secret with two versions. Whoever changes it, or asks for a version that is not there, ends the test.
#[derive(Default)]
struct Brittle {
    looks: AtomicU64,
}

impl SecretView for Brittle {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if secret.path() != "a" {
                return Err(Failure::NotFound("no such secret".to_owned()));
            }
            let version =
                |number| Version { number, created: 7, state: VersionState::Enabled, expires: None };
            let versions = vec![version(1), version(2)];
            Ok(Metadata { identity: Some(Identity::new("id".to_owned())), current: 2, versions })
        })
    }
    fn read<'a>(&'a self, _: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        assert!((1..=2).contains(&version), "the live store is asked for version {version}");
        Box::pin(async move { Ok(Fields::default().with("key", format!("live {version}"))) })
    }
    fn right<'a>(&'a self, _: &'a Resource, _: Act) -> BoxFuture<'a, Right> {
        Box::pin(async { Ok(Right::Held) })
    }
    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, String> {
        Box::pin(async { Ok(String::new()) })
    }
}

impl SecretStore for Brittle {
    fn put<'a>(&'a self, _: Target<'a>, _: &'a Fields, _: u64, _: Authority<'a>) -> BoxFuture<'a, u64> {
        panic!("a rehearsal wrote")
    }
    fn turn<'a>(&'a self, _: Target<'a>, _: u64, _: Turn, _: Authority<'a>) -> BoxFuture<'a, ()> {
        panic!("a rehearsal changed a version")
    }
}

fn secret(path: &str) -> Resource {
    Resource::new("secret", path).unwrap()
}

fn live() -> Secrets {
    let store: Arc<dyn SecretStore> = Arc::new(Brittle::default());
    Secrets::new(vec![(String::new(), store, Generator::default())]).unwrap()
}

fn new(value: &str) -> Fields {
    Fields::default().with("key", value.to_owned())
}

#[test]
fn a_rehearsal_has_no_store_and_a_run_plays_nothing() {
    let (live, a) = (live(), secret("a"));
    assert!(live.store(&a).is_ok() && live.played(&a).is_none());
    let rehearsal = live.for_rehearsal();
    assert!(matches!(rehearsal.store(&a), Err(Failure::Denied(_))));
    assert!(rehearsal.played(&a).is_some());
    // Nor has a rehearsal of a rehearsal.
    assert!(matches!(rehearsal.for_rehearsal().store(&a), Err(Failure::Denied(_))));
}

#[tokio::test]
async fn what_is_played_is_seen_by_this_rehearsal_alone() {
    let (secrets, a) = (live(), secret("a"));
    let (one, other) = (secrets.for_rehearsal(), secrets.for_rehearsal());
    let (view, played) = (one.at(&a).unwrap().0, one.played(&a).unwrap());
    let before = view.metadata(&a).await.unwrap();
    played.put(&a, new("three"));
    played.put(&a, new("four"));
    played.turn(&a, 1, Turn::Disable);
    played.turn(&a, 3, Turn::Destroy);

    let after = view.metadata(&a).await.unwrap();
    assert_eq!((&after.identity, after.current), (&before.identity, 4));
    let states: Vec<_> = after.versions.iter().map(|version| (version.number, version.state)).collect();
    let (enabled, disabled, destroyed) =
        (VersionState::Enabled, VersionState::Disabled, VersionState::Destroyed);
    assert_eq!(states, [(1, disabled), (2, enabled), (3, destroyed), (4, enabled)]);
    let age = Timestamp::now().as_millisecond() - i64::try_from(after.versions[3].created).unwrap();
    assert!((0..60_000).contains(&age), "made now");

    assert_eq!(view.read(&a, 4).await.unwrap().get("key"), Some("four"));
    assert_eq!(view.read(&a, 2).await.unwrap().get("key"), Some("live 2"));
    for (version, why) in [(1, "version 1 of a is disabled"), (3, "version 3 of a is destroyed")] {
        assert_eq!(view.read(&a, version).await, Err(Failure::NotFound(why.to_owned())));
    }
    assert_eq!(view.read(&a, 5).await, Err(Failure::NotFound("a has no version 5".to_owned())));
    assert!(matches!(view.read(&a, 0).await, Err(Failure::Invalid(_))));

    for fresh in [&other, &secrets.for_rehearsal(), &secrets, &one.for_rehearsal()] {
        assert_eq!(fresh.at(&a).unwrap().0.metadata(&a).await.unwrap(), before);
    }
}

#[tokio::test]
async fn what_cannot_be_changed_is_not_played() {
    let (rehearsal, a, b) = (live().for_rehearsal(), secret("a"), secret("b"));
    let (view, played) = (rehearsal.at(&a).unwrap().0, rehearsal.played(&a).unwrap());
    let before = view.metadata(&a).await.unwrap();
    // A version that is enabled already, and one that is not there.
    played.turn(&a, 1, Turn::Enable);
    played.turn(&a, 9, Turn::Disable);
    assert_eq!(view.metadata(&a).await.unwrap(), before);
    // Of a secret that is not there, nobody has seen anything.
    assert!(view.metadata(&b).await.is_err());
    played.put(&b, new("x"));
    assert!(view.metadata(&b).await.is_err());
}
