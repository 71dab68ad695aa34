//! One host in one process, and many runs at once: what a command line of its own for each never shows.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod common;
#[allow(dead_code, reason = "the benchmarks use the rest")]
#[path = "bench/house.rs"]
mod house;

use std::sync::Arc;
use std::time::Duration;

use remit_journal::RunState;
use remit_lifecycle::{Error, execute};
use tokio::runtime::Runtime;

use house::House;

const MANY: usize = 48;

fn house() -> (Runtime, Arc<House>) {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let action = std::fs::read(common::plugins().join("measure.wasm")).unwrap();
    (threads, Arc::new(House::new(&std::env::temp_dir(), &action)))
}

/// As the home's owner would find it.
fn sound(house: &House) -> u64 {
    let key = remit_lifecycle::Home::at(&house.folder().join("home")).verifier().unwrap();
    house.host.journal.reader().unwrap().verify(&key, None).unwrap().runs
}

#[test]
fn many_runs_start_at_once_and_all_end() {
    let (threads, house) = house();
    threads.block_on(async {
        let mut runs = Vec::new();
        for n in 0..MANY {
            let request = house.approved(&format!("[\"app/{n}\"]"), 1).await;
            let house = Arc::clone(&house);
            runs.push(tokio::spawn(async move {
                execute(&house.host, &house.rules, &house.bot, request, None).await
            }));
        }
        for run in runs {
            let done =
                tokio::time::timeout(Duration::from_secs(120), run).await.expect("none waits for ever");
            assert_eq!(done.unwrap().unwrap().state, RunState::Succeeded);
        }
    });
    assert_eq!(sound(&house), MANY as u64);
}

#[test]
fn a_request_for_one_run_is_used_once_by_many_at_once() {
    let (threads, house) = house();
    threads.block_on(async {
        let request = house.approved(r#"["app/a"]"#, 1).await;
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let house = Arc::clone(&house);
                tokio::spawn(
                    async move { execute(&house.host, &house.rules, &house.bot, request, None).await },
                )
            })
            .collect();
        let mut won = 0;
        for run in runs {
            match run.await.unwrap() {
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
            let done = execute(&house.host, &house.rules, &house.bot, request, None).await.unwrap();
            assert_eq!(done.state, RunState::Succeeded);
            assert_eq!(house.host.journal.written().waited - before, n + 1, "{input}");
        });
    }
}
