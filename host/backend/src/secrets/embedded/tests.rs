use std::os::unix::fs::PermissionsExt as _;

use miette::Diagnostic as _;

use super::*;
use crate::secrets::SecretsConfig;
use crate::secrets::store::SecretView as _;

/// What kind of error it is.
fn code<T>(result: Result<T, BackendError>) -> String {
    let Err(error) = result else { panic!("it went well") };
    error.code().unwrap().to_string()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(home: &tempfile::TempDir) -> Result<Embedded, BackendError> {
    Embedded::open(&home.path().join("secrets.db"))
}

fn fields(value: &str) -> Fields {
    Fields::default().with("password", value.to_owned()).with("user", "app".to_owned())
}

fn states(store: &Embedded, path: &str) -> Vec<VersionState> {
    store.0.metadata(path).unwrap().versions.iter().map(|version| version.state).collect()
}

#[test]
fn versions_come_and_go() {
    use VersionState::{Destroyed, Disabled, Enabled};
    let home = home();
    let store = open(&home).unwrap();
    let inner = &store.0;
    assert!(matches!(inner.metadata("a/b"), Err(Failure::NotFound(_))));
    assert_eq!(inner.insert("a/b", None, Some(0), &fields("one")), Ok(1));
    assert_eq!(inner.insert("a/b", None, Some(1), &fields("two")), Ok(2));
    assert_eq!(inner.read("a/b", 1).unwrap(), fields("one"));
    assert_eq!(inner.read("a/b", 2).unwrap(), fields("two"));

    inner.turn(Turn::Disable, "a/b", None, 1).unwrap();
    assert_eq!(states(&store, "a/b"), [Disabled, Enabled]);
    assert!(matches!(inner.read("a/b", 1), Err(Failure::NotFound(why)) if why.contains("disabled")));
    assert!(matches!(inner.turn(Turn::Disable, "a/b", None, 1), Err(Failure::Conflict(_))));
    inner.turn(Turn::Enable, "a/b", None, 1).unwrap();
    assert_eq!(inner.read("a/b", 1).unwrap(), fields("one"));
    assert!(matches!(inner.turn(Turn::Enable, "a/b", None, 1), Err(Failure::Conflict(_))));

    inner.turn(Turn::Destroy, "a/b", None, 1).unwrap();
    assert_eq!(states(&store, "a/b"), [Destroyed, Enabled]);
    for turn in [Turn::Destroy, Turn::Enable, Turn::Disable] {
        assert!(matches!(inner.turn(turn, "a/b", None, 1), Err(Failure::Conflict(_))), "{turn:?}");
    }
    assert!(matches!(inner.read("a/b", 1), Err(Failure::NotFound(why)) if why.contains("destroyed")));
    assert!(matches!(inner.turn(Turn::Disable, "a/b", None, 3), Err(Failure::NotFound(_))));
    assert!(matches!(inner.turn(Turn::Disable, "a/c", None, 1), Err(Failure::NotFound(_))));
    assert!(matches!(inner.read("a/b", 3), Err(Failure::NotFound(_))));
    assert!(matches!(inner.read("a/b", 0), Err(Failure::Invalid(_))));
}

#[test]
fn a_lost_race_changes_nothing() {
    let home = home();
    let store = open(&home).unwrap();
    store.0.insert("a", None, Some(0), &fields("one")).unwrap();
    for expected in [0, 2, 7] {
        assert!(
            matches!(store.0.insert("a", None, Some(expected), &fields("x")), Err(Failure::Conflict(_))),
            "{expected}"
        );
    }
    assert_eq!(states(&store, "a").len(), 1);
}

#[test]
fn of_writers_in_two_handles_one_wins_each_version() {
    let home = home();
    open(&home).unwrap().0.insert("a", None, Some(0), &fields("0")).unwrap();
    let wins: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let store = open(&home).unwrap();
                scope.spawn(move || {
                    (1..=20)
                        .filter(|expected| store.0.insert("a", None, Some(*expected), &fields("x")).is_ok())
                        .count() as u64
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    let metadata = open(&home).unwrap().0.metadata("a").unwrap();
    assert_eq!(metadata.current, wins + 1, "each success made exactly one version");
    assert!(metadata.versions.iter().map(|version| version.number).eq(1..=metadata.current));
}

#[test]
fn values_are_sealed_in_their_place() {
    let home = home();
    let store = open(&home).unwrap();
    store.0.insert("a", None, Some(0), &fields("correct horse battery")).unwrap();
    store.0.insert("b", None, Some(0), &fields("other")).unwrap();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(13).any(|part| part == b"correct horse"), "{}", path.display());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
    // A value that somebody moves to another path does not open there.
    store
        .0
        .db()
        .execute(
            "UPDATE version SET sealed = (SELECT sealed FROM version WHERE path = 'a') WHERE path = 'b'",
            [],
        )
        .unwrap();
    assert!(matches!(store.0.read("b", 1), Err(Failure::Unavailable(_))));
}

#[test]
fn a_key_others_can_read_is_refused() {
    let home = home();
    drop(open(&home).unwrap());
    let key = home.path().join("secrets.db.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code(open(&home)), "usage::key_mode");
}

#[test]
fn a_lost_or_wrong_key_is_found_at_once() {
    let home = home();
    open(&home).unwrap().0.insert("a", None, Some(0), &fields("one")).unwrap();
    let key = home.path().join("secrets.db.key");
    let saved = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(code(open(&home)), "failed::backend_key_missing");
    assert!(!key.exists(), "no new key in place of the lost one");

    let mut wrong = saved.clone();
    wrong[0] ^= 1;
    std::fs::write(&key, wrong).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(code(open(&home)), "integrity::backend_key");

    std::fs::write(&key, saved).unwrap();
    assert_eq!(open(&home).unwrap().0.read("a", 1).unwrap(), fields("one"));
}

#[test]
fn a_newer_or_foreign_file_is_left_alone() {
    let home = home();
    let file = home.path().join("secrets.db");
    open(&home).unwrap().0.db().execute_batch("PRAGMA user_version = 9").unwrap();
    assert_eq!(code(open(&home)), "failed::backend_newer");

    for extra in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(home.path().join(format!("secrets.db{extra}")));
    }
    std::fs::write(&file, "this is a text file, not a database, and it is long enough to tell".repeat(20))
        .unwrap();
    let before = std::fs::read(&file).unwrap();
    assert_eq!(code(open(&home)), "failed::backend_database");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_store_that_cannot_be_written_says_so() {
    let home = home();
    let store = open(&home).unwrap();
    store.0.insert("a", None, Some(0), &fields("one")).unwrap();
    // Permissions do not stop root, who may run the tests; this does.
    store.0.db().execute_batch("PRAGMA query_only = ON").unwrap();
    assert!(matches!(store.0.insert("a", None, Some(1), &fields("two")), Err(Failure::Denied(_))));
    assert!(matches!(store.0.turn(Turn::Destroy, "a", None, 1), Err(Failure::Denied(_))));
    assert_eq!(store.0.read("a", 1).unwrap(), fields("one"));

    let nowhere = Embedded::open(Path::new("/proc/remit/secrets.db")).unwrap_err();
    assert!(nowhere.to_string().contains("embedded store"), "{nowhere}");
}

#[tokio::test]
async fn an_administrator_writes_on_top() {
    let home = home();
    let path = Resource::new("secret", "prod/db").unwrap();
    let entries = [SecretsConfig::default()];
    let store = SecretsConfig::embedded(&entries, home.path(), &path).unwrap();
    assert_eq!(store.seed(&path, fields("one")).await, Ok(1));
    assert_eq!(store.seed(&path, fields("two")).await, Ok(2));
    assert_eq!(store.read(&path, 2).await.unwrap(), fields("two"));
    // One field alone: the others are what they were, whoever else writes at the same time.
    let value = |text: &str| SecretText::new(text.to_owned());
    let kept = vec!["user".to_owned()];
    assert_eq!(store.seed_field(&path, "password", value("three")).await, Ok((3, kept)));
    assert_eq!(store.read(&path, 3).await.unwrap(), fields("three"));
    let both =
        tokio::join!(store.seed_field(&path, "a", value("1")), store.seed_field(&path, "b", value("2")));
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    assert_eq!(
        store.read(&path, 5).await.unwrap().names().collect::<Vec<_>>(),
        ["a", "b", "password", "user"]
    );
    let fresh = Resource::new("secret", "prod/new").unwrap();
    assert_eq!(store.seed_field(&fresh, "a", value("1")).await, Ok((1, Vec::new())));
    // What cannot be read cannot be kept, and is not dropped in silence.
    store.seed_state(&fresh, 1, VersionState::Disabled).await.unwrap();
    let refused = store.seed_field(&fresh, "b", value("2")).await;
    assert!(matches!(&refused, Err(Failure::Conflict(why)) if why.contains("is disabled")), "{refused:?}");
    assert_eq!(store.seed(&fresh, fields("all")).await, Ok(2));
    assert!(store.check("").await.unwrap().ends_with(", 2 secrets"));
    let elsewhere = SecretsConfig::embedded(&[], home.path(), &path);
    assert_eq!(code(elsewhere), "usage::backend_not_embedded");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64),
    Turn(Turn, u64),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    let turn = prop_oneof![Just(Turn::Disable), Just(Turn::Enable), Just(Turn::Destroy)];
    prop_oneof![
        (0..6_u64).prop_map(Step::Put),
        (turn, 1..6_u64).prop_map(|(turn, version)| Step::Turn(turn, version))
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    /// The store against a plain list of states; a refused step leaves both as they were.
    #[test]
    fn the_store_agrees_with_a_list(steps in proptest::collection::vec(step(), 0..24)) {
        let home = home();
        let store = open(&home).unwrap();
        let mut model: Vec<VersionState> = Vec::new();
        for step in steps {
            match step {
                Step::Put(expected) => {
                    let done = store.0.insert("a", None, Some(expected), &fields(&expected.to_string()));
                    proptest::prop_assert_eq!(done.is_ok(), expected == model.len() as u64);
                    if done.is_ok() {
                        model.push(VersionState::Enabled);
                    }
                }
                Step::Turn(turn, version) => {
                    let index = usize::try_from(version).unwrap() - 1;
                    let next = model.get(index).and_then(|state| match (turn, state) {
                        (Turn::Disable, VersionState::Enabled) => Some(VersionState::Disabled),
                        (Turn::Enable, VersionState::Disabled) => Some(VersionState::Enabled),
                        (Turn::Destroy, VersionState::Enabled | VersionState::Disabled) => Some(VersionState::Destroyed),
                        _ => None,
                    });
                    proptest::prop_assert_eq!(store.0.turn(turn, "a", None, version).is_ok(), next.is_some());
                    if let Some(next) = next {
                        model[index] = next;
                    }
                }
            }
            if !model.is_empty() {
                proptest::prop_assert_eq!(states(&store, "a"), model.clone());
            }
            for (index, state) in model.iter().enumerate() {
                let read = store.0.read("a", index as u64 + 1);
                proptest::prop_assert_eq!(read.is_ok(), *state == VersionState::Enabled);
                if let Ok(read) = read {
                    proptest::prop_assert_eq!(read, fields(&index.to_string()));
                }
            }
        }
    }
}

fn identity(store: &Embedded, path: &str) -> Identity {
    store.0.metadata(path).unwrap().identity.unwrap()
}

/// What an administrator does by hand: no operation removes a secret.
fn remove(store: &Embedded, path: &str) {
    store.0.db().execute("DELETE FROM version WHERE path = ?1", [path]).unwrap();
}

#[test]
fn a_secret_that_was_made_anew_is_another_one() {
    let home = home();
    let store = open(&home).unwrap();
    for path in ["a", "b"] {
        store.0.insert(path, None, Some(0), &fields("one")).unwrap();
    }
    let first = identity(&store, "a");
    assert_ne!(first, identity(&store, "b"));
    store.0.insert("a", Some(&first), Some(1), &fields("two")).unwrap();
    store.0.turn(Turn::Disable, "a", Some(&first), 1).unwrap();
    assert_eq!(identity(&open(&home).unwrap(), "a"), first, "it stays the same through all its versions");

    remove(&store, "a");
    assert!(matches!(store.0.insert("a", Some(&first), Some(0), &fields("x")), Err(Failure::Conflict(_))));
    store.0.insert("a", None, Some(0), &fields("theirs")).unwrap();
    assert_ne!(identity(&store, "a"), first);
    let refused = [
        store.0.insert("a", Some(&first), Some(1), &fields("x")).map(drop),
        store.0.turn(Turn::Disable, "a", Some(&first), 1),
        store.0.turn(Turn::Destroy, "a", Some(&first), 1),
    ];
    for refused in refused {
        assert!(
            matches!(&refused, Err(Failure::Conflict(why)) if why.contains("another secret")),
            "{refused:?}"
        );
    }
    assert_eq!(states(&store, "a"), [VersionState::Enabled]);
    assert_eq!(store.0.read("a", 1).unwrap(), fields("theirs"));
}

#[test]
fn a_store_of_the_first_format_is_brought_up_to_date() {
    let home = home();
    let store = open(&home).unwrap();
    store.0.insert("a", None, Some(0), &fields("one")).unwrap();
    store.0.insert("a", None, Some(1), &fields("two")).unwrap();
    store.0.insert("b", None, Some(0), &fields("other")).unwrap();
    store.0.db().execute_batch("DROP TABLE secret; PRAGMA user_version = 1").unwrap();
    drop(store);

    let store = open(&home).unwrap();
    let (a, b) = (identity(&store, "a"), identity(&store, "b"));
    assert_ne!(a, b);
    assert_eq!(store.0.read("a", 2).unwrap(), fields("two"));
    store.0.insert("a", Some(&a), Some(2), &fields("three")).unwrap();
    drop(store);
    assert_eq!(identity(&open(&home).unwrap(), "a"), a);
}
