//! What changes something, with the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use remit_capability::secrets::Rotate;
use remit_gate::Resource;
use tokio::runtime::Runtime;

use crate::Place;
use crate::bare::{self, Group};
use crate::house::{self, House};
use crate::measure::{Figure, Section, in_turns, median};

/// One change at a time.
pub fn changes(place: &Place) -> Section {
    let runtime = Runtime::new().expect("threads");
    let house = House::new(&place.disk, &place.plugin("measure"));
    let database = bare::database(&house.folder().join("bare.db"));
    let (gate, _) = house.gate(house::scope());
    let rotate = || Rotate { resource: Resource::new("secret", "app/db").expect("a path"), field: None };
    let before = house.host.journal.written().waited;
    let mut made = 0;
    let [floor, change] = in_turns(
        30,
        20,
        [&mut |n| (0..n).for_each(|_| bare::insert(&database)), &mut |n| {
            made += u64::from(n);
            runtime.block_on(async {
                for _ in 0..n {
                    gate.change(rotate()).await.expect("admitted").expect("rotated");
                }
            });
        }],
    );
    let waits = (house.host.journal.written().waited - before) as f64 / made as f64;
    let mut figures = vec![
        Figure::new("a change on a store in memory", change, "µs")
            .over("SQLite: one durable commit", floor)
            .at_most_times(1.2),
        Figure::new("times it waits for the disk, all before the effect", waits, "").exactly(1.0),
    ];
    for (n, input) in [(0, "0"), (1, r#"["app/a"]"#), (3, r#"["app/a","app/b","app/c"]"#)] {
        let waits = runtime.block_on(async {
            let request = house.approved(input, 5).await;
            // The first one also makes what there is to be made.
            house.bot.execute(&house.host, request, None).await.expect("it runs");
            let before = house.host.journal.written().waited;
            let done = house.bot.execute(&house.host, request, None).await.expect("it runs");
            assert!(done.cause.is_none(), "{:?}", done.cause);
            house.host.journal.written().waited - before
        });
        figures.push(
            Figure::new(format!("times a run with {n} change(s) waits for the disk"), waits as f64, "")
                .exactly(f64::from(n) + 1.0),
        );
    }
    Section { title: "Changes", figures, notes: Vec::new() }
}

const TOGETHER: usize = 64;
/// Many short ones: the machine may be a third faster in one second than in the next.
const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(300);

/// Many runs at once, one change each.
pub fn together(place: &Place) -> Section {
    let runtime = Runtime::new().expect("threads");
    let house = Arc::new(House::new(&place.disk, &place.plugin("measure")));
    let bare = Arc::new(Group::new(&house.folder().join("bare.db")));
    let requests: Arc<Vec<_>> = runtime.block_on(async {
        let mut requests = Vec::new();
        for n in 0..TOGETHER {
            requests.push(house.approved(&format!("[\"app/{n}\"]"), u32::MAX).await);
        }
        Arc::new(requests)
    });
    let writing = || {
        let bare = Arc::clone(&bare);
        move |_| {
            let bare = Arc::clone(&bare);
            async move { bare.write().await }
        }
    };
    let (admitted, scope) = (Arc::new(house.admitted()), Arc::new(house::scope()));
    let running = || {
        let (house, admitted, scope) = (Arc::clone(&house), Arc::clone(&admitted), Arc::clone(&scope));
        move |n: usize| {
            let (house, admitted, scope) = (Arc::clone(&house), Arc::clone(&admitted), Arc::clone(&scope));
            async move { house.whole(&admitted, &scope, &format!("[\"app/{n}\"]")).await }
        }
    };
    let executing = || {
        let (house, requests) = (Arc::clone(&house), Arc::clone(&requests));
        move |n: usize| {
            let (house, request) = (Arc::clone(&house), requests[n]);
            async move {
                let done = house.bot.execute(&house.host, request, None).await.expect("it runs");
                assert!(done.cause.is_none(), "{:?}", done.cause);
            }
        }
    };
    let (mut floor, mut records, mut runs, mut executed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (written, took) = runtime.block_on(all(writing()));
        let before = house.host.journal.written();
        let (ran, ran_for) = runtime.block_on(all(running()));
        let recorded = house.host.journal.written().records - before.records;
        let (whole, whole_for) = runtime.block_on(all(executing()));
        if round > 0 {
            floor.push(written as f64 / took);
            records.push(recorded as f64 / ran_for);
            runs.push(ran as f64 / ran_for);
            executed.push(whole as f64 / whole_for);
        }
    }
    let floor = median(floor);
    Section {
        title: "64 at once",
        figures: vec![
            Figure::new("records of runs with one change each", median(records), "/s")
                .over("a bare writer that commits in groups", floor)
                .at_least_times(0.7),
            Figure::new("those runs, from `started` to `ended`", median(runs), "/s"),
            Figure::new("runs from the approved request on, all authority checked", median(executed), "/s"),
        ],
        notes: Vec::new(),
    }
}

/// Does `work` over and over in [`TOGETHER`] tasks for a while; answers how often, and in how many seconds.
async fn all<F: Future<Output = ()> + Send + 'static>(
    work: impl Fn(usize) -> F + Send + Sync + 'static,
) -> (u64, f64) {
    let (work, since) = (Arc::new(work), Instant::now());
    let tasks: Vec<_> = (0..TOGETHER)
        .map(|n| {
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                let mut times = 0;
                while since.elapsed() < ROUND {
                    work(n).await;
                    times += 1;
                }
                times
            })
        })
        .collect();
    let mut times = 0;
    for task in tasks {
        times += task.await.expect("no panic");
    }
    (times, since.elapsed().as_secs_f64())
}
