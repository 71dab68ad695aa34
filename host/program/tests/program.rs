//! Programs that end, that hang, that write without end, and that leave others behind.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::path::Path;
use std::time::{Duration, Instant};

use remit_program::{Broke, PATH, Program, cannot_run};

const LIMIT: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Program {
    Program::tethered(["/bin/sh", "-c", script])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn it_has_what_it_was_given_and_nothing_else() {
    let env = Program::tethered(["/usr/bin/env"]).with("LC_ALL", "C").keeping(4096).run(LIMIT).await.unwrap();
    assert_eq!(text(&env.stdout), format!("LC_ALL=C\nPATH={PATH}\n"));
    let folder = shell("pwd; cat").keeping(4096).run(LIMIT).await.unwrap();
    assert_eq!((folder.status.success(), text(&folder.stdout)), (true, "/\n"));
    let output =
        Program::new(["cat"]).with("PATH", PATH).reading("given").keeping(5).run(LIMIT).await.unwrap();
    assert_eq!(text(&output.stdout), "given");
    // What it does not read is no mistake.
    let long = vec![b'x'; 1 << 20];
    assert!(Program::new(["/bin/true"]).reading(long).run(LIMIT).await.unwrap().status.success());
}

#[tokio::test]
async fn how_it_ended_is_told() {
    assert_eq!(shell("exit 7").run(LIMIT).await.unwrap().status.code(), Some(7));
    assert_eq!(shell("kill -9 $$").run(LIMIT).await.unwrap().status.to_string(), "signal: 9 (SIGKILL)");
    let missing = Program::new(["/no/such/program"]).run(LIMIT).await.unwrap_err();
    assert!(matches!(missing, Broke::NotStarted(_)), "{missing}");
    assert!(matches!(Program::new([""; 0]).run(LIMIT).await.unwrap_err(), Broke::NotStarted(_)));
}

#[tokio::test]
async fn output_is_bounded_where_it_is_kept_and_free_where_it_is_not() {
    let flood = "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2";
    assert!(shell(flood).run(LIMIT).await.unwrap().status.success());
    let since = Instant::now();
    let refused = shell("cat /dev/zero").keeping(1000).run(LIMIT).await.unwrap_err();
    assert!(matches!(refused, Broke::TooMuch(1000)), "{refused}");
    assert!(since.elapsed() < LIMIT / 2);
}

/// Whether a process is there, and not only its entry.
fn lives(number: &str) -> bool {
    let status = std::process::Command::new("ps").args(["-o", "stat=", "-p", number]).output().unwrap();
    let state = text(&status.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

#[tokio::test]
async fn what_takes_too_long_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("started");
    let script = format!("sleep 300 & echo $! > {0}; echo $$ >> {0}; wait", note.display());
    for program in [shell(&script), shell(&script).keeping(100)] {
        let since = Instant::now();
        let late = program.run(Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(late, Broke::Late(_)) && since.elapsed() < LIMIT / 2, "{late}");
        let started =
            String::from_utf8(std::process::Command::new("cat").arg(&note).output().unwrap().stdout);
        for number in started.unwrap().lines() {
            // It was told to end, which takes a moment.
            while lives(number) {
                assert!(since.elapsed() < LIMIT / 2, "{number} lives on");
            }
        }
    }
}

/// A service that is started, and keeps what it inherited open, is nobody to wait for.
#[tokio::test]
async fn who_is_left_behind_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("started");
    let since = Instant::now();
    let script = format!("sleep 60 & echo $! > {}", note.display());
    assert!(shell(&script).run(LIMIT).await.unwrap().status.success());
    assert!(since.elapsed() < LIMIT / 2);
    let number =
        String::from_utf8(std::process::Command::new("cat").arg(&note).output().unwrap().stdout).unwrap();
    assert!(lives(number.trim()));
    assert!(std::process::Command::new("kill").arg(number.trim()).status().unwrap().success());
}

#[test]
fn what_cannot_be_run_is_known_before() {
    assert_eq!(cannot_run(Path::new("/bin/true")), None);
    assert!(cannot_run(Path::new("/no/such")).unwrap().contains("No such file"));
    assert!(cannot_run(Path::new("/etc/passwd")).unwrap().contains("ermission"));
    assert!(cannot_run(Path::new("/etc")).unwrap().contains("no file"));
}
