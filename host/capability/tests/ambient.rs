//! What needs no grant: the log, the run's facts, and inert WASI.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use crate::support::Bench;
use remit_capability::bindings::remit::host::{log, run};
use remit_capability::bindings::wasi::cli::{environment, exit, stderr, stdin, stdout, terminal_stdout};
use remit_capability::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use remit_capability::bindings::wasi::filesystem::{preopens, types};
use remit_capability::bindings::wasi::io::{poll, streams};
use remit_capability::bindings::wasi::random::random;
use remit_capability::wasi::{Exit, Misuse};
use remit_capability::{CallError, answered};
use remit_gate::{Fault, Limit, Mode};
use wasmtime::component::Resource;

fn line(level: &str, message: &str) -> String {
    serde_json::json!({ "level": level, "message": message }).to_string()
}

#[tokio::test]
async fn a_log_line_is_a_record_and_counts() {
    let mut bench = Bench::new(Mode::Live, "[limits]\nlog_bytes = \"20 B\"\n").await;
    log::Host::write(&mut bench.ctx, log::Level::Warn, "look\u{1b}[31m".into()).await.unwrap();
    assert_eq!(bench.lines(), [line("warn", "look\\u{1b}[31m")]);
    let trap = log::Host::write(&mut bench.ctx, log::Level::Info, "0123456789ab".into()).await.unwrap_err();
    let Some(Fault::Exceeded(exceeded)) = trap.downcast_ref::<Fault>() else { panic!("{trap}") };
    assert_eq!((exceeded.limit, exceeded.used, exceeded.allowed), (Limit::LogBytes, 21, 20));
    assert_eq!(bench.lines().len(), 1);
}

#[tokio::test]
async fn the_run_knows_itself() {
    let mut bench = Bench::live().await;
    let facts = run::Host::facts(&mut bench.ctx).await.unwrap();
    assert_eq!(facts.id, bench.run.to_string());
    assert_eq!((facts.started, facts.reason.as_str()), (1_700_000_000_123, "a test"));
}

#[tokio::test]
async fn standard_streams_are_lines_of_the_log() {
    let mut bench = Bench::live().await;
    let out = stdout::Host::get_stdout(&mut bench.ctx).await.unwrap().rep();
    let err = stderr::Host::get_stderr(&mut bench.ctx).await.unwrap().rep();
    for (to, text) in [(out, "one\ntw"), (err, "oops\n"), (out, "o\n\nrest")] {
        let to = Resource::new_borrow(to);
        streams::HostOutputStream::write(&mut bench.ctx, to, text.into()).await.unwrap();
    }
    bench.ctx.finish().await.unwrap();
    bench.ctx.finish().await.unwrap();
    let expected = [
        line("info", "one"),
        line("warn", "oops"),
        line("info", "two"),
        line("info", ""),
        line("info", "rest"),
    ];
    assert_eq!(bench.lines(), expected);

    let long = vec![b'x'; 10_000];
    streams::HostOutputStream::write(&mut bench.ctx, Resource::new_borrow(out), long).await.unwrap();
    assert_eq!(bench.lines().len(), 7, "two full pieces, the rest waits");
    let flood = vec![b'x'; 70_000];
    let flood = streams::HostOutputStream::write(&mut bench.ctx, Resource::new_borrow(out), flood).await;
    let trap = answered(flood).unwrap_err();
    assert!(trap.downcast_ref::<Misuse>().is_some(), "{trap}");
}

#[tokio::test]
async fn there_is_nothing_to_see() {
    let mut bench = Bench::live().await;
    assert!(environment::Host::get_environment(&mut bench.ctx).await.unwrap().is_empty());
    assert!(environment::Host::get_arguments(&mut bench.ctx).await.unwrap().is_empty());
    assert!(environment::Host::initial_cwd(&mut bench.ctx).await.unwrap().is_none());
    assert!(preopens::Host::get_directories(&mut bench.ctx).await.unwrap().is_empty());
    // A descriptor that a guest makes up is none, whatever its number.
    for number in [0, 1, u32::MAX] {
        let of = Resource::new_borrow(number);
        answered(types::HostDescriptor::read(&mut bench.ctx, of, 1, 0).await).unwrap_err();
        let of = Resource::new_borrow(number);
        let (flags, open) = (types::PathFlags::empty(), types::OpenFlags::empty());
        let read = types::DescriptorFlags::READ;
        let opened =
            types::HostDescriptor::open_at(&mut bench.ctx, of, flags, "/etc/passwd".into(), open, read);
        answered(opened.await).unwrap_err();
    }
    assert!(terminal_stdout::Host::get_terminal_stdout(&mut bench.ctx).await.unwrap().is_none());
    let input = stdin::Host::get_stdin(&mut bench.ctx).await.unwrap();
    let read = streams::HostInputStream::blocking_read(&mut bench.ctx, input, 10).await;
    assert!(matches!(read, Err(CallError::Failure(streams::StreamError::Closed))));
}

#[tokio::test]
async fn an_exit_is_told_from_a_trap() {
    let mut bench = Bench::live().await;
    let end = exit::Host::exit(&mut bench.ctx, Err(())).await.unwrap_err();
    assert_eq!(end.downcast_ref::<Exit>(), Some(&Exit { ok: false }));
    let end = exit::Host::exit_with_code(&mut bench.ctx, 0).await.unwrap_err();
    assert_eq!(end.downcast_ref::<Exit>(), Some(&Exit { ok: true }));
}

#[tokio::test]
async fn randomness_is_the_runs_own() {
    let mut one = Bench::live().await;
    let mut two = Bench::live().await;
    let first = random::Host::get_random_bytes(&mut one.ctx, 40).await.unwrap();
    assert_eq!(first, random::Host::get_random_bytes(&mut two.ctx, 40).await.unwrap());
    assert_ne!(first, random::Host::get_random_bytes(&mut one.ctx, 40).await.unwrap());
    let trap = random::Host::get_random_bytes(&mut one.ctx, u64::MAX).await.unwrap_err();
    assert!(trap.downcast_ref::<Misuse>().is_some(), "{trap}");
}

#[tokio::test]
async fn every_look_at_a_clock_is_recorded() {
    let mut bench = Bench::live().await;
    let before = monotonic_clock::Host::now(&mut bench.ctx).await.unwrap();
    let timer = monotonic_clock::Host::subscribe_duration(&mut bench.ctx, 20_000_000).await.unwrap().rep();
    let out = stdout::Host::get_stdout(&mut bench.ctx).await.unwrap();
    let ready = streams::HostOutputStream::subscribe(&mut bench.ctx, out).await.unwrap().rep();
    let both = vec![Resource::new_borrow(timer), Resource::new_borrow(ready)];
    assert_eq!(poll::Host::poll(&mut bench.ctx, both).await.unwrap(), [1]);
    poll::HostPollable::block(&mut bench.ctx, Resource::new_borrow(timer)).await.unwrap();
    assert!(poll::HostPollable::ready(&mut bench.ctx, Resource::new_borrow(timer)).await.unwrap());
    let after = monotonic_clock::Host::now(&mut bench.ctx).await.unwrap();
    assert!(after - before >= 20_000_000);
    wall_clock::Host::now(&mut bench.ctx).await.unwrap();
    let names: Vec<String> = bench.intents().into_iter().map(|intent| intent.operation).collect();
    let (now, poll) = ("wasi:clocks/monotonic-clock.now", "wasi:io/poll.poll");
    assert_eq!(names, [now, now, poll, poll, "wasi:io/poll.ready", now, "wasi:clocks/wall-clock.now"]);
    assert!(poll::Host::poll(&mut bench.ctx, Vec::new()).await.is_err());
}

#[tokio::test]
async fn handles_are_few() {
    let mut bench = Bench::live().await;
    for _ in 0..256 {
        stdout::Host::get_stdout(&mut bench.ctx).await.unwrap();
    }
    assert!(stdout::Host::get_stdout(&mut bench.ctx).await.is_err());
}
