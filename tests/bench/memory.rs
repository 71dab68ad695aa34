//! What a host takes of memory, and what each run that is under way adds: in a process of its own, which has done nothing
//! before.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remit_lifecycle::Home;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::Place;
use crate::house::{House, Memory};
use crate::measure::{Figure, Section, median};

/// The argument that makes this program such a process.
pub const ALONE: &str = "--memory-of";

/// How many processes are looked at for each action.
const PROCESSES: usize = 5;
/// Runs under way at once.
const RUNS: usize = 32;

/// Kilobytes in memory.
#[derive(Serialize, Deserialize)]
struct Seen {
    idle: f64,
    one: f64,
    all: f64,
}

pub fn memory(place: &Place) -> Section {
    let rust = seen(place, "rotate-secret");
    let python = seen(place, "rotate-secret-python");
    let each =
        |seen: &[Seen]| median(seen.iter().map(|seen| (seen.all - seen.one) / (RUNS - 1) as f64).collect());
    let idle = median(rust.iter().chain(&python).map(|seen| seen.idle).collect());
    Section {
        title: "Memory",
        figures: vec![
            Figure::new("a host that is open and does nothing", idle / 1024.0, "MiB").at_most(20.0),
            Figure::new("each run under way of an action in Rust", each(&rust), "KiB").at_most(100.0),
            Figure::new("each run under way of one in Python", each(&python) / 1024.0, "MiB").at_most(3.5),
        ],
        notes: vec![format!(
            "The host with all resident pages, shared ones included. A run under way waits in its first host call: what \
             {RUNS} of them have more than one of them, divided by {}; a page that several share counts once.",
            RUNS - 1
        )],
    }
}

fn seen(place: &Place, action: &str) -> Vec<Seen> {
    // Asked for and approved here, so that the other process does nothing but run.
    let house = House::new(&place.disk, &place.plugin(action));
    let runtime = Runtime::new().expect("threads");
    let request = runtime.block_on(house.approved(r#"{"path":"app/db"}"#, u32::MAX)).to_string();
    let program = std::env::current_exe().expect("a path");
    let alone = || {
        let done =
            Command::new(&program).arg(ALONE).arg(house.folder()).arg(&request).output().expect("it starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("JSON")
    };
    (0..PROCESSES).map(|_| alone()).collect()
}

/// The process of its own.
pub fn alone(mut args: impl Iterator<Item = String>) {
    let (dir, request) = (args.next().expect("a folder"), args.next().expect("a request"));
    let dir = Path::new(&dir);
    // As `remit` has it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads");
    let home = Home::at(&dir.join("home"));
    let (host, rules) = (home.open().expect("a host"), home.rules().expect("rules"));
    std::thread::sleep(Duration::from_millis(100));
    let idle = memory_of("Rss:");
    drop((host, rules));

    let parked = Arc::new(AtomicUsize::new(0));
    let house = Arc::new(House::open(dir, Memory::parking(Arc::clone(&parked))));
    let request = request.parse().expect("an id");
    let grow = |to: usize| {
        for _ in parked.load(Ordering::Relaxed)..to {
            let house = Arc::clone(&house);
            runtime.spawn(async move {
                let done = house.bot.execute(&house.host, request, None).await;
                panic!("it came to an end: {:?}", done.map(|done| done.cause));
            });
        }
        while parked.load(Ordering::Relaxed) < to {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What is still on its way out of the process's own buffers.
        std::thread::sleep(Duration::from_millis(200));
        memory_of("Pss:")
    };
    let (one, all) = (grow(1), grow(RUNS));
    println!("{}", serde_json::to_string(&Seen { idle, one, all }).expect("JSON"));
    // Nobody waits for runs that never end.
    std::process::exit(0);
}

/// Of `smaps_rollup` in proc(5): all pages (`Rss`), or each page by as many as share it (`Pss`).
fn memory_of(what: &str) -> f64 {
    let told = fs::read_to_string("/proc/self/smaps_rollup").expect("a file");
    let line = told.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
