//! One host in one process, and many runs at once: what a command line of its own for each never shows.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

#[allow(dead_code, reason = "the benchmarks use the rest")]
#[path = "bench/house.rs"]
mod house;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use remit_gate::Scope;
use remit_journal::{Event, RequestId, RunState};
use remit_lifecycle::{
    ActionSelector, Decision, Error, Finished, Home, Input, RequestOptions, StandingScope, Start, Under,
    prepare_start, submit_start,
};
use remit_sandbox::Candidate;
use remit_trust::Signer;
use tokio::runtime::Runtime;

use house::{House, Memory};

const MANY: usize = 48;

fn house() -> (Runtime, Arc<House>) {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let action = std::fs::read(crate::common::plugins().join("measure.wasm")).unwrap();
    (threads, Arc::new(House::new(&std::env::temp_dir(), &action)))
}

/// As the home's owner would find it.
fn sound(house: &House) -> u64 {
    let key = remit_lifecycle::Home::at(&house.folder().join("home")).verifier().unwrap();
    house.host.journal.reader().unwrap().verify(&key, None).unwrap().runs
}

/// Starts a run under each of these, all at the same time, and waits for their ends.
async fn all_at_once(house: &Arc<House>, requests: Vec<RequestId>) -> Vec<Result<Finished, Error>> {
    let start = |request| {
        let house = Arc::clone(house);
        tokio::spawn(async move { house.bot.execute(&house.host, request, None).await })
    };
    let starting: Vec<_> = requests.into_iter().map(start).collect();
    let mut ended = Vec::new();
    for run in starting {
        let run = tokio::time::timeout(Duration::from_secs(120), run).await.expect("none waits for ever");
        ended.push(run.unwrap());
    }
    ended
}

#[test]
fn many_runs_start_at_once_and_all_end() {
    let (threads, house) = house();
    threads.block_on(async {
        let mut requests = Vec::new();
        for n in 0..MANY {
            requests.push(house.approved(&format!("[\"app/{n}\"]"), 1).await);
        }
        for run in all_at_once(&house, requests).await {
            assert_eq!(run.unwrap().state, RunState::Succeeded);
        }
    });
    assert_eq!(sound(&house), MANY as u64);
}

#[test]
fn a_request_for_one_run_is_used_once_by_many_at_once() {
    let (threads, house) = house();
    threads.block_on(async {
        let request = house.approved(r#"["app/a"]"#, 1).await;
        let mut won = 0;
        for run in all_at_once(&house, vec![request; 8]).await {
            match run {
                Ok(done) => won += usize::from(done.state == RunState::Succeeded),
                Err(Error::NotReady { .. } | Error::Start(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1);
    });
    assert_eq!(sound(&house), 1);
}

#[test]
fn a_run_waits_for_the_disk_once_for_each_change_and_once_at_its_end() {
    let (threads, house) = house();
    for (n, input) in [(0, "0"), (1, r#"["app/a"]"#), (3, r#"["app/a","app/b","app/c"]"#)] {
        threads.block_on(async {
            let request = house.approved(input, 1).await;
            let before = house.host.journal.written().waited;
            let done = house.bot.execute(&house.host, request, None).await.unwrap();
            assert_eq!(done.state, RunState::Succeeded);
            assert_eq!(house.host.journal.written().waited - before, n + 1, "{input}");
        });
    }
}

/// A home whose secrets answer when they are let.
fn slow() -> (Runtime, tempfile::TempDir, House, Arc<AtomicUsize>, Arc<tokio::sync::Notify>) {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let action = fs::read(crate::common::plugins().join("measure.wasm")).unwrap();
    let dir = House::found(&std::env::temp_dir(), &action);
    let parked = Arc::new(AtomicUsize::new(0));
    let secrets = Memory::parking(Arc::clone(&parked));
    let go_on = Arc::clone(&secrets.go_on);
    let house = House::open(dir.path(), secrets);
    (threads, dir, house, parked, go_on)
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to that");
}

#[test]
fn a_start_answers_before_the_end_and_nobody_need_wait_for_it() {
    let (threads, _dir, house, parked, go_on) = slow();
    threads.block_on(async {
        let state = |run| {
            let runs = house.host.journal.reader().unwrap().runs().unwrap();
            runs.into_iter().find(|found| found.run == run).unwrap().state
        };
        let request = house.approved("1", 2).await;
        for waited_for in [true, false] {
            let before = parked.load(Ordering::Relaxed);
            let started = house.bot.start(&house.host, request, None, None).await.unwrap();
            let Under::Started(started) = started else { panic!("it is for a run") };
            let run = started.run;
            until(|| parked.load(Ordering::Relaxed) > before).await;
            assert_eq!(state(run), None, "it goes on");
            if waited_for {
                go_on.notify_one();
                assert_eq!(started.end().await.unwrap().state, RunState::Succeeded);
            } else {
                drop(started);
                go_on.notify_one();
                until(|| state(run) == Some(RunState::Succeeded)).await;
            }
        }
    });
}

/// A start that shares no budget waits for no other, not even for one that is stuck. Those that share one are counted one by one.
#[test]
fn only_starts_that_share_a_budget_wait_for_each_other() {
    let (threads, house) = house();
    threads.block_on(async {
        let home = &house.host.home;
        let start = async |request| {
            let starting = house.bot.execute(&house.host, request, None);
            tokio::time::timeout(Duration::from_millis(1500), starting).await
        };
        let stuck = fs::File::create(home.path().join("start.lock")).unwrap();
        stuck.lock().unwrap();
        start(house.approved("0", 1).await).await.expect("it waits for nobody").unwrap();

        // The attribute is spelled so that its name is not in the text.
        let budget = r#"@id("budget") forbid (principal, action == Remit::Action::"trigger", resource)
            when { resource["spent\u{42}yRequester"] >= 1 };"#;
        fs::write(home.policies().join("budget.cedar"), budget).unwrap();
        home.sign_rules(&Signer::load(&house.folder().join("alice.key")).unwrap(), |_| true).unwrap();
        let mut requests = Vec::new();
        for n in 0..8 {
            requests.push(house.approved(&format!("[\"app/{n}\"]"), 1).await);
        }
        start(requests[0]).await.expect_err("it waits");
        drop(stuck);
        let mut won = 0;
        for run in all_at_once(&house, requests).await {
            match run {
                Ok(done) => won += usize::from(done.state == RunState::Succeeded),
                Err(Error::Forbidden { what: "start this", .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1);
    });
    assert_eq!(sound(&house), 2);
}

#[test]
fn one_trigger_starts_one_run_however_often_it_is_sent() {
    let (threads, house) = house();
    threads.block_on(async {
        let request = house.approved(r#"["app/a"]"#, u32::MAX).await;
        let prepared = prepare_start(&house.host, house.bot.key(), request, None, None).unwrap();
        let signed = house.bot.sign(&prepared).unwrap();
        // Nobody else may start it, whatever they sign.
        let other = house.alice.sign(&prepared).unwrap();
        assert!(matches!(submit_start(&house.host, &other, None).await, Err(Error::NotAccepted { .. })));
        let sent: Vec<_> = (0..8)
            .map(|_| {
                let (house, signed) = (Arc::clone(&house), signed.clone());
                tokio::spawn(async move { submit_start(&house.host, &signed, None).await })
            })
            .collect();
        let mut won = 0;
        for sent in sent {
            match sent.await.unwrap() {
                Ok(Start::Started(started)) => {
                    assert_eq!(started.run, prepared.document.run);
                    won += usize::from(started.end().await.unwrap().state == RunState::Succeeded);
                }
                Ok(Start::Outside { .. }) => panic!("it is for a run"),
                Err(Error::NotAccepted { .. } | Error::OnRecord { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1);
    });
    assert_eq!(sound(&house), 1);
}

#[test]
fn what_starts_is_what_was_asked_for() {
    let (threads, house) = house();
    threads.block_on(async {
        let request = house.approved("0", 9).await;
        let other = Candidate::read(&crate::common::plugins().join("misbehave.wasm")).unwrap();
        let [same, another] = ["0", "1"].map(|text| Input::parse(text, "the input").unwrap());
        let prepare = |what| {
            prepare_start(&house.host, house.bot.key(), request, Some(what), None)
                .map_err(|error| error.to_string())
        };
        assert!(prepare((&other, &same)).unwrap_err().contains("distrust its source"));
        assert!(prepare((&house.candidate, &another)).unwrap_err().ends_with("it is for another input"));
        let prepared = prepare((&house.candidate, &same)).unwrap();
        let signed = house.bot.sign(&prepared).unwrap();
        let refused = submit_start(&house.host, &signed, Some((&other, &same))).await.unwrap_err();
        assert!(refused.to_string().contains("it is for another action or another input"), "{refused}");
        let Ok(Start::Started(started)) = submit_start(&house.host, &signed, None).await else {
            panic!("it was asked for");
        };
        assert_eq!(started.end().await.unwrap().state, RunState::Succeeded);
    });
    assert_eq!(sound(&house), 1);
}

/// Bot asks for it, and both may start runs.
async fn standing(house: &House) -> RequestId {
    let publishers = &house.host.setup().unwrap().publishers;
    let standing = StandingScope {
        action: ActionSelector::of(publishers, &house.candidate, None).unwrap(),
        hours: Vec::new(),
        runs_per_hour: 9,
        changes_per_hour: 9,
    };
    let mut scope = house::scope();
    scope.limits.changes = 7;
    let options = RequestOptions {
        reason: "nights".to_owned(),
        incident: None,
        ttl: SignedDuration::from_hours(1),
        uses: None,
        triggers: vec!["bot".to_owned(), "alice".to_owned()],
        break_glass: false,
    };
    let asked = house.bot.request_standing(&house.host, standing, scope, options).await.unwrap();
    let decision = Decision { approve: true, reason: "as asked".to_owned(), expect: None };
    house.alice.decide(&house.host, asked.request.id, &decision).await.unwrap();
    asked.request.id
}

#[test]
fn a_run_under_a_standing_scope_has_the_changes_of_its_plan_and_no_more() {
    let (threads, house) = house();
    let home = Home::at(&house.folder().join("home"));
    let policy = home.policies().join("default.cedar");
    let no = "@id(\"no\")\nforbid (principal == Remit::Principal::\"alice\", action == Remit::Action::\"rehearse\", resource);";
    fs::write(&policy, fs::read_to_string(&policy).unwrap() + no).unwrap();
    home.sign_rules(&Signer::load(&house.folder().join("alice.key")).unwrap(), |_| true).unwrap();
    threads.block_on(async {
        let request = standing(&house).await;
        let input = |text| Input::parse(text, "the input").unwrap();
        let two = input(r#"["app/a","app/b"]"#);
        let started = house.bot.start(&house.host, request, Some((&house.candidate, &two)), Some("r")).await;
        let Under::Started(started) = started.unwrap() else { panic!("it is inside") };
        let done = started.end().await.unwrap();
        assert_eq!(done.state, RunState::Succeeded);
        let records = house.host.journal.reader().unwrap().run(&done.run).unwrap();
        let Event::Started(header) = &records[0].1.event else { panic!("it started") };
        let scope: Scope = serde_json::from_str(header.scope.as_ref().unwrap().get()).unwrap();
        assert_eq!((scope.limits.changes, scope.limits.fuel), (2, house::scope().limits.fuel));

        // What fails is not outside: it is not rehearsed once more, which alice may not do.
        let fails = input(r#""neither a number nor a list""#);
        let failed =
            house.alice.start(&house.host, request, Some((&house.candidate, &fails)), Some("r")).await;
        let failed = failed.unwrap_err();
        assert!(!matches!(failed, Error::Forbidden { .. }), "{failed}");
        // Another action is not what it is for, whatever it would do.
        let other = Candidate::read(&crate::common::plugins().join("misbehave.wasm")).unwrap();
        let refused =
            house.bot.start(&house.host, request, Some((&other, &two)), Some("r")).await.unwrap_err();
        assert!(matches!(refused, Error::Admission(_) | Error::NotReady { .. }), "{refused}");
    });
    // With the rehearsals of the two that could be rehearsed.
    assert_eq!(sound(&house), 3);
}

/// A host that goes on for years sees what administrators sign meanwhile, and stops at what they did not.
#[test]
fn rules_that_change_under_a_host_count_at_once() {
    let (threads, house) = house();
    threads.block_on(async {
        let admin = || Signer::load(&house.folder().join("alice.key")).unwrap();
        let home = &house.host.home;
        let policy = home.policies().join("default.cedar");
        let shipped = fs::read_to_string(&policy).unwrap();
        let start = async |request| house.bot.execute(&house.host, request, None).await;

        let first = house.approved("0", 9).await;
        start(first).await.unwrap();
        // Written and not signed: nobody does anything, and is told why.
        fs::write(&policy, format!("{shipped}\n// of no meaning\n")).unwrap();
        for _ in 0..2 {
            let refused = start(first).await.unwrap_err();
            assert!(matches!(refused, Error::Rules { .. }), "{refused}");
            assert!(refused.to_string().contains("policies/"), "{refused}");
        }
        fs::write(&policy, &shipped).unwrap();
        start(first).await.unwrap();
        // Signed: in force, and what was asked for under the rules before is void.
        fs::write(&policy, shipped.replace("\"trigger\"", "\"propose\"")).unwrap();
        home.sign_rules(&admin(), |_| true).unwrap();
        let refused = start(first).await.unwrap_err();
        assert!(refused.to_string().contains("the rules were changed"), "{refused}");
        let second = house.approved("0", 9).await;
        let refused = start(second).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden { what: "start this", .. }), "{refused}");
        fs::write(&policy, &shipped).unwrap();
        home.sign_rules(&admin(), |_| true).unwrap();
        start(house.approved("0", 1).await).await.unwrap();

        // A principal who is not there any more.
        let third = house.approved("0", 9).await;
        let written = fs::read_to_string(home.principals()).unwrap();
        let without: Vec<&str> =
            written.split("[[principal]]").filter(|one| !one.contains("\"bot\"")).collect();
        fs::write(home.principals(), without.join("[[principal]]")).unwrap();
        home.sign_rules(&admin(), |_| true).unwrap();
        let refused = start(third).await.unwrap_err();
        assert!(matches!(refused, Error::Identity { .. }), "{refused}");
        fs::write(home.principals(), written).unwrap();
        home.sign_rules(&admin(), |_| true).unwrap();

        // The configuration: broken, nothing more is done; another publisher, and this action is not one's any more.
        let config = fs::read_to_string(home.config()).unwrap();
        fs::write(home.config(), format!("{config}\nnonsense = 1\n")).unwrap();
        let decision = Decision { approve: true, reason: String::new(), expect: None };
        let refused = house.alice.decide(&house.host, third, &decision).await.unwrap_err();
        assert!(matches!(refused, Error::Document { .. }), "{refused}");
        fs::write(home.config(), &config).unwrap();
        let fourth = house.approved("0", 9).await;
        start(fourth).await.unwrap();
        let line = config.lines().find(|line| line.trim_start().starts_with("publishers")).unwrap();
        fs::write(home.config(), config.replace(line, "publishers = []")).unwrap();
        let refused = start(fourth).await.unwrap_err();
        assert!(matches!(refused, Error::Admission(_)), "{refused}");
    });
}
