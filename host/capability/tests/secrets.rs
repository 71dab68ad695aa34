//! The powers over secrets, called as the guest's bindings call them.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use crate::support::{Bench, PATH, WIDE};
use remit_backend::{Secrets, VersionState};
use remit_capability::secrets::wit::inspect::VersionState as Seen;
use remit_capability::secrets::wit::{destroy, disable, enable, generate, inspect, reveal, rotate};
use remit_capability::secrets::{BeforeRotation, Destroy, Disable, Given, Matches, Put, Rotate};
use remit_capability::{Ctx, answered};
use remit_gate::{Change, Effect, Failure, Fault, Mode, Resource, State};
use remit_journal::{CallResult, Event, UndoResult};

async fn rotate_key(bench: &mut Bench) -> rotate::Rotated {
    answered(rotate::Host::rotate(&mut bench.ctx, PATH.into(), Some("api_key".into())).await)
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_rotation_changes_one_field_and_can_be_taken_back() {
    let mut bench = Bench::live().await;
    let rotated = rotate_key(&mut bench).await;
    assert_eq!((rotated.previous, rotated.current), (1, 2));
    let fresh = bench.store.value(PATH, 2, "api_key").await;
    assert_ne!(fresh, "sk-old-value");
    assert_eq!(bench.store.value(PATH, 2, "account").await, "acct-77");

    let [intent] = bench.intents().try_into().unwrap();
    assert_eq!(intent.effect, Effect::Change);
    assert_eq!(bench.state(&intent).await, State::After);
    let written = serde_json::to_string(&bench.records()).unwrap();
    for secret in ["sk-old-value", "acct-77", &fresh] {
        assert!(!written.contains(secret), "a value is in the journal");
    }

    assert_eq!(bench.undo(&intent).await, UndoResult::Undone);
    assert_eq!(bench.store.current(PATH).await, 3);
    assert_eq!(bench.store.value(PATH, 3, "api_key").await, "sk-old-value");
    assert_eq!(bench.state(&intent).await, State::Before);
    assert_eq!(bench.undo(&intent).await, UndoResult::AlreadyUndone);
    assert_eq!(bench.store.current(PATH).await, 3);
}

/// A sealed input may be what is there already, or what was there before: neither makes an undo that is done again do more.
#[tokio::test]
async fn a_value_that_was_put_can_be_taken_back_whatever_it_is() {
    let bench = Bench::live().await;
    let resource = Resource::new("secret", PATH).unwrap();
    let given = |value: &str| Given::new("token", Some(value.to_owned().into()));
    let put = async |value| {
        let put = Put { resource: resource.clone(), field: "api_key".to_owned(), secret: given(value) };
        bench.ctx.gate().change(put).await.unwrap().unwrap()
    };
    let matches = async |version, value| {
        let (resource, field, secret) = (resource.clone(), "api_key".to_owned(), given(value));
        bench.ctx.gate().observe(Matches { resource, field, version, secret }).await.unwrap().unwrap()
    };
    let stored = put("sk-old-value").await;
    assert_eq!((stored.previous, stored.current), (1, 2));
    assert_eq!(put("sk-given").await.current, 3);
    assert_eq!(put("sk-old-value").await.current, 4);
    assert!(
        matches(3, "sk-given").await && !matches(4, "sk-given").await && matches(4, "sk-old-value").await
    );
    assert_eq!(bench.store.value(PATH, 3, "account").await, "acct-77");
    let written = serde_json::to_string(&bench.records()).unwrap();
    assert!(!written.contains("sk-given") && !written.contains("sk-old-value"));

    let [same, other, back] = bench
        .intents()
        .into_iter()
        .filter(|intent| intent.effect == Effect::Change)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    for (intent, current, value) in [(&back, 5, "sk-given"), (&other, 6, "sk-old-value")] {
        assert_eq!(bench.undo(intent).await, UndoResult::Undone);
        assert_eq!(bench.store.value(PATH, current, "api_key").await, value);
    }
    assert_eq!(bench.undo(&same).await, UndoResult::AlreadyUndone, "the value is there");
    assert_eq!(bench.store.current(PATH).await, 6);
    // One that was put alone is taken back, once.
    let bench = Bench::live().await;
    let put = Put { resource: resource.clone(), field: "api_key".to_owned(), secret: given("sk-old-value") };
    bench.ctx.gate().change(put).await.unwrap().unwrap();
    let [intent] = bench.intents().try_into().unwrap();
    assert_eq!(bench.state(&intent).await, State::After);
    assert_eq!(bench.undo(&intent).await, UndoResult::Undone);
    assert_eq!(bench.undo(&intent).await, UndoResult::AlreadyUndone);
    assert_eq!(bench.store.current(PATH).await, 3);
}

#[tokio::test]
async fn two_rotations_come_back_in_reverse_order() {
    let mut bench = Bench::live().await;
    rotate_key(&mut bench).await;
    rotate_key(&mut bench).await;
    let [first, second] = bench.intents().try_into().unwrap();
    assert!(matches!(bench.undo(&first).await, UndoResult::Conflict { .. }), "out of order");
    assert_eq!(bench.undo(&second).await, UndoResult::Undone);
    assert_eq!(bench.undo(&first).await, UndoResult::Undone);
    assert_eq!(bench.store.value(PATH, 5, "api_key").await, "sk-old-value");
}

#[tokio::test]
async fn someone_elses_version_is_left_alone() {
    let mut bench = Bench::live().await;
    rotate_key(&mut bench).await;
    bench.store.write(PATH, &[("api_key", "by-hand"), ("account", "acct-77")]).await;
    let [intent] = bench.intents().try_into().unwrap();
    let UndoResult::Conflict { live } = bench.undo(&intent).await else { panic!("not a conflict") };
    assert_eq!(live, "version 3 is current, and this run did not write it");
    assert_eq!(bench.store.current(PATH).await, 3);
}

#[tokio::test]
async fn a_rehearsal_changes_nothing() {
    let mut bench = Bench::new(Mode::Rehearse, WIDE).await;
    let rotated = rotate_key(&mut bench).await;
    assert_eq!((rotated.previous, rotated.current), (1, 2));
    answered(disable::Host::disable(&mut bench.ctx, PATH.into(), 1).await).unwrap().unwrap();
    answered(destroy::Host::destroy(&mut bench.ctx, PATH.into(), 1).await).unwrap().unwrap();
    assert_eq!(bench.store.current(PATH).await, 1);
    assert_eq!(bench.store.state(PATH, 1).await, VersionState::Enabled);
    let plan = bench.ctx.gate().observed();
    let shown: Vec<_> = plan.steps.iter().map(|step| (step.effect, step.undo.as_deref())).collect();
    assert_eq!(
        shown,
        [
            (Effect::Change, Some("put the value of version 1 back")),
            (Effect::Change, Some("enable version 1 again")),
            (Effect::Irrevocable, None),
        ]
    );
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_refused_and_on_record() {
    let mut bench = Bench::live().await;
    for path in ["", "../etc", "prod//x", "/prod", "prod/%2e%2e", "prod/\u{430}"] {
        let answer = answered(rotate::Host::rotate(&mut bench.ctx, path.into(), None).await).unwrap();
        assert!(matches!(answer, Err(Failure::Invalid(_))), "{path}");
    }
    let answer =
        answered(rotate::Host::rotate(&mut bench.ctx, PATH.into(), Some("a\u{1b}[2J".into())).await).unwrap();
    assert!(matches!(answer, Err(Failure::Invalid(_))));
    let denied = bench.records().iter().filter(|record| matches!(record.event, Event::Denied(_))).count();
    assert_eq!(denied, 7);

    // Two fields and none named; a field that is not there.
    let answer = answered(rotate::Host::rotate(&mut bench.ctx, PATH.into(), None).await).unwrap();
    assert!(matches!(answer, Err(Failure::Invalid(_))));
    let answer =
        answered(rotate::Host::rotate(&mut bench.ctx, PATH.into(), Some("nope".into())).await).unwrap();
    assert!(matches!(answer, Err(Failure::NotFound(_))));
    assert_eq!(bench.store.current(PATH).await, 1);
}

#[tokio::test]
async fn disabling_comes_back_and_destroying_does_not() {
    let mut bench = Bench::live().await;
    answered(disable::Host::disable(&mut bench.ctx, PATH.into(), 1).await).unwrap().unwrap();
    assert_eq!(bench.store.state(PATH, 1).await, VersionState::Disabled);
    let again = answered(disable::Host::disable(&mut bench.ctx, PATH.into(), 1).await).unwrap();
    assert!(matches!(again, Err(Failure::Conflict(_))));
    // To and fro in one run, nobody could tell what was undone of it already.
    let enabled = answered(enable::Host::enable(&mut bench.ctx, PATH.into(), 1).await).unwrap();
    assert!(matches!(enabled, Err(Failure::Conflict(why)) if why.contains("which it can do once")));
    let intent = bench.intents().remove(0);
    assert_eq!(bench.undo(&intent).await, UndoResult::Undone);
    assert_eq!(bench.undo(&intent).await, UndoResult::AlreadyUndone);
    assert_eq!(bench.store.state(PATH, 1).await, VersionState::Enabled);

    answered(destroy::Host::destroy(&mut bench.ctx, PATH.into(), 1).await).unwrap().unwrap();
    let intent = bench.intents().pop().unwrap();
    assert_eq!(bench.state(&intent).await, State::After);
    assert!(matches!(bench.undo(&intent).await, UndoResult::NotReversible { .. }));
    let missing = answered(destroy::Host::destroy(&mut bench.ctx, PATH.into(), 7).await).unwrap();
    assert!(matches!(missing, Err(Failure::NotFound(_))));
}

#[tokio::test]
async fn outside_the_scope_the_run_ends() {
    let narrow = "[[allow]]\ncapability = \"remit:secrets/destroy\"\nresources = [\"secret:prod/stripe\"]\n";
    let mut bench = Bench::new(Mode::Live, narrow).await;
    let trap = answered(destroy::Host::destroy(&mut bench.ctx, PATH.into(), 1).await).unwrap_err();
    assert!(matches!(trap.downcast_ref::<Fault>(), Some(Fault::OutOfScope { .. })), "{trap}");
    let trap = answered(rotate::Host::rotate(&mut bench.ctx, PATH.into(), None).await).unwrap_err();
    assert!(matches!(trap.downcast_ref::<Fault>(), Some(Fault::OutOfScope { .. })), "{trap}");
    assert_eq!(bench.store.state(PATH, 1).await, VersionState::Enabled);
}

#[tokio::test]
async fn looking_shows_versions_and_revealing_is_sealed() {
    let mut bench = Bench::live().await;
    let found = answered(inspect::Host::metadata(&mut bench.ctx, PATH.into()).await).unwrap().unwrap();
    assert_eq!((found.current, found.versions.len()), (1, 1));

    let value = answered(reveal::Host::reveal(&mut bench.ctx, PATH.into(), "api_key".into(), 1).await)
        .unwrap()
        .unwrap();
    assert_eq!(value, "sk-old-value");
    assert!(!serde_json::to_string(&bench.records()).unwrap().contains("sk-old-value"));
    let sealed = bench.records().into_iter().any(|record| {
        matches!(record.event, Event::Outcome(outcome) if matches!(outcome.result, CallResult::Sealed { .. }))
    });
    assert!(sealed);
    let none = answered(reveal::Host::reveal(&mut bench.ctx, PATH.into(), "nope".into(), 1).await).unwrap();
    assert!(matches!(none, Err(Failure::NotFound(_))));
}

/// Rehearsals see what they changed, and one rotation after the other plans as it will run.
#[tokio::test]
async fn a_rehearsal_sees_its_own_changes() {
    let mut bench = Bench::new(Mode::Rehearse, WIDE).await;
    let real = answered(inspect::Host::metadata(&mut bench.ctx, PATH.into()).await).unwrap().unwrap();
    let rotated = [rotate_key(&mut bench).await, rotate_key(&mut bench).await];
    assert_eq!(rotated.map(|done| (done.previous, done.current)), [(1, 2), (2, 3)]);
    answered(disable::Host::disable(&mut bench.ctx, PATH.into(), 1).await).unwrap().unwrap();
    let again = answered(disable::Host::disable(&mut bench.ctx, PATH.into(), 1).await).unwrap();
    assert!(
        matches!(&again, Err(Failure::Conflict(why)) if why.ends_with("is disabled already")),
        "{again:?}"
    );
    answered(destroy::Host::destroy(&mut bench.ctx, PATH.into(), 2).await).unwrap().unwrap();

    let seen = answered(inspect::Host::metadata(&mut bench.ctx, PATH.into()).await).unwrap().unwrap();
    let states: Vec<_> = seen.versions.iter().map(|version| (version.number, version.state)).collect();
    let (enabled, disabled, destroyed) = (Seen::Enabled, Seen::Disabled, Seen::Destroyed);
    assert_eq!((seen.current, states), (3, vec![(1, disabled), (2, destroyed), (3, enabled)]));
    assert_eq!(seen.versions[0].created, real.versions[0].created);
    assert!(seen.versions[2].created >= seen.versions[0].created);

    for (version, why) in [(1, "disabled"), (2, "destroyed"), (4, "no version 4")] {
        let answer =
            answered(reveal::Host::reveal(&mut bench.ctx, PATH.into(), "api_key".into(), version).await)
                .unwrap();
        assert!(matches!(&answer, Err(Failure::NotFound(told)) if told.contains(why)), "{answer:?}");
    }
    assert_eq!(bench.store.current(PATH).await, 1);
    assert_eq!(bench.store.state(PATH, 1).await, VersionState::Enabled);
}

/// What a rehearsal is told instead of a value has its shape and nothing of it.
#[tokio::test]
async fn a_rehearsal_discloses_nothing() {
    const REAL: &str = "Sk-Live_42 \u{e9}\u{1F511}/correct-HORSE-battery";
    let mut bench = Bench::new(Mode::Rehearse, WIDE).await;
    bench.store.write(PATH, &[("api_key", REAL), ("account", REAL)]).await;
    bench.store.write(PATH, &[("api_key", REAL), ("account", REAL)]).await;
    let mut told = Vec::new();
    for (field, version) in [("api_key", 2), ("account", 2), ("api_key", 3), ("api_key", 2)] {
        let answer = reveal::Host::reveal(&mut bench.ctx, PATH.into(), field.into(), version).await;
        told.push(answer.unwrap());
    }
    let class = |of: char| match of {
        _ if of.is_ascii_digit() => 0,
        _ if of.is_ascii_uppercase() => 1,
        _ if of.is_ascii_punctuation() => 2,
        _ if of.is_ascii() => 3,
        _ => 4,
    };
    for told in &told {
        assert_eq!((told.len(), told.chars().count()), (REAL.len(), REAL.chars().count()));
        assert!(told.chars().map(class).eq(REAL.chars().map(class)), "{told}");
        for part in ["Live", "correct", "HORSE", "battery"] {
            assert!(!told.contains(part), "{told}");
        }
    }
    assert_eq!(told[0], told[3], "the same asked twice");
    assert!(told[0] != told[1] && told[0] != told[2], "nor does it tell that two places hold the same");

    // A value that the rehearsal itself played is made up too.
    rotate_key(&mut bench).await;
    let played = answered(reveal::Host::reveal(&mut bench.ctx, PATH.into(), "account".into(), 4).await)
        .unwrap()
        .unwrap();
    assert!(played != REAL && played.len() == REAL.len(), "{played}");
    let none = answered(reveal::Host::reveal(&mut bench.ctx, PATH.into(), "nope".into(), 2).await).unwrap();
    assert!(matches!(&none, Err(Failure::NotFound(why)) if why.contains("no field `nope`")), "{none:?}");
    assert!(!serde_json::to_string(&bench.records()).unwrap().contains("HORSE"));
}

/// The same path and the same number, and not what was changed: nothing is put into it.
#[tokio::test]
async fn a_secret_that_was_made_anew_is_not_reverted() {
    let mut bench = Bench::live().await;
    rotate_key(&mut bench).await;
    answered(disable::Host::disable(&mut bench.ctx, PATH.into(), 1).await).unwrap().unwrap();
    let changes = bench.intents();
    // Someone else's, with just as many versions, one of them disabled.
    bench.remove(PATH);
    for value in ["theirs", "theirs too"] {
        bench.store.write(PATH, &[("api_key", value), ("account", "acct-77")]).await;
    }
    bench.store.disable(PATH, 1).await;
    for change in changes.iter().rev() {
        assert!(matches!(bench.state(change).await, State::Other(why) if why.contains("another secret")));
        let undone = bench.undo(change).await;
        assert!(
            matches!(&undone, UndoResult::Conflict { live } if live.contains("another secret")),
            "{undone:?}"
        );
    }
    assert_eq!(bench.store.current(PATH).await, 2);
    assert_eq!(bench.store.state(PATH, 1).await, VersionState::Disabled);
    assert_eq!(bench.store.value(PATH, 2, "api_key").await, "theirs too");
}

/// What is compared with the plan right before a change.
#[tokio::test]
async fn what_was_planned_is_told_from_what_was_made_since() {
    async fn found<O: Change<Backend = Secrets>>(bench: &Bench, operation: &O) -> O::Undo {
        operation.prepare(&bench.secrets()).await.unwrap().undo
    }
    let bench = Bench::live().await;
    let resource = crate::support::secret(PATH);
    let rotate = Rotate { resource: resource.clone(), field: Some("api_key".to_owned()) };
    let disable = Disable { resource: resource.clone(), version: 1 };
    let destroy = Destroy { resource, version: 1 };
    let planned =
        (found(&bench, &rotate).await, found(&bench, &disable).await, found(&bench, &destroy).await);
    assert!(Rotate::is_as_planned(&planned.0, &found(&bench, &rotate).await));
    assert!(Disable::is_as_planned(&planned.1, &found(&bench, &disable).await));
    assert!(Destroy::is_as_planned(&planned.2, &found(&bench, &destroy).await));
    // A record of the first version knows no identity.
    let old = BeforeRotation { identity: None, ..planned.0.clone() };
    assert!(Rotate::is_as_planned(&old, &planned.0) && !Rotate::is_as_planned(&planned.0, &old));

    bench.store.write(PATH, &[("api_key", "by-hand"), ("account", "acct-77")]).await;
    assert!(!Rotate::is_as_planned(&planned.0, &found(&bench, &rotate).await), "someone was faster");
    assert!(Disable::is_as_planned(&planned.1, &found(&bench, &disable).await), "version 1 is what it was");
    bench.store.disable(PATH, 1).await;
    assert!(!Destroy::is_as_planned(&planned.2, &found(&bench, &destroy).await), "it was enabled");

    bench.remove(PATH);
    bench.store.write(PATH, &[("api_key", "theirs"), ("account", "acct-77")]).await;
    assert!(!Rotate::is_as_planned(&planned.0, &found(&bench, &rotate).await));
    assert!(!Disable::is_as_planned(&planned.1, &found(&bench, &disable).await));
    assert!(!Destroy::is_as_planned(&planned.2, &found(&bench, &destroy).await));
}

/// Between the last rehearsal and the change.
#[tokio::test]
async fn who_is_faster_than_the_run_has_their_version_kept() {
    for made_anew in [false, true] {
        let mut rehearsal = Bench::new(Mode::Rehearse, WIDE).await;
        rotate_key(&mut rehearsal).await;
        let plan = rehearsal.ctx.gate().observed();
        let rotate = async |ctx: &mut Ctx| {
            answered(rotate::Host::rotate(ctx, PATH.into(), Some("api_key".into())).await).map(Result::unwrap)
        };
        if made_anew {
            rehearsal.remove(PATH);
        }
        rehearsal.store.write(PATH, &[("api_key", "theirs"), ("account", "acct-77")]).await;
        let current = rehearsal.store.current(PATH).await;
        let trap = rotate(&mut rehearsal.planned(plan)).await.unwrap_err();
        assert!(matches!(trap.downcast_ref::<Fault>(), Some(Fault::NotInPlan { .. })), "{trap}");
        assert_eq!(rehearsal.store.current(PATH).await, current);
        assert_eq!(rehearsal.store.value(PATH, current, "api_key").await, "theirs");

        // What was planned on what there is now is done.
        let mut again = Bench::new(Mode::Rehearse, WIDE).await;
        rotate_key(&mut again).await;
        let plan = again.ctx.gate().observed();
        assert_eq!(rotate(&mut again.planned(plan)).await.unwrap().current, 2);
    }
}

/// A weak or huge value is refused, which leaves no handle; what was made is of this run, and in no record.
#[tokio::test]
async fn a_generated_value_is_strong_and_of_its_run() {
    let mut bench = Bench::live().await;
    let mut generate = async |length, alphabet| {
        answered(generate::Host::generate(&mut bench.ctx, length, alphabet).await).unwrap()
    };
    for (length, why) in [(0, "0 bits"), (15, "60 bits"), (4097, "at most 4096")] {
        let Err(Failure::Invalid(said)) = generate(length, generate::Alphabet::Hex).await else {
            panic!("{length} hex digits were made")
        };
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(generate(16, generate::Alphabet::Hex).await.unwrap(), "generated:1");
    assert_eq!(generate(4096, generate::Alphabet::Base64url).await.unwrap(), "generated:2");
    let values: Vec<_> = bench.ctx.gate().sealed_values().into_iter().collect();
    let [(one, short), (two, long)] = &values[..] else { panic!("there are {}", values.len()) };
    assert_eq!((&*one.name(), &*two.name()), ("generated:1", "generated:2"));
    assert_eq!((short.expose().len(), long.expose().len()), (16, 4096));
    assert!(short.expose().bytes().all(|b| b.is_ascii_hexdigit()));
    let written = serde_json::to_string(&bench.records()).unwrap();
    assert!(written.contains("generated:2") && !written.contains(short.expose()));
    // Another run has none of them.
    assert!(Bench::live().await.ctx.gate().sealed_value(one).is_none());
}
