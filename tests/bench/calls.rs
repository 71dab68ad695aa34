//! A run and a host call, without the disk.

use std::time::Duration;

use remit_gate::{Pattern, Resource};
use tokio::runtime::Runtime;

use crate::Place;
use crate::house::{self, House};
use crate::measure::{Figure, Section, in_turns, in_turns_on_cpu};
use crate::raw::Raw;

const CALLS: u32 = 1_000;

/// What both parts compare.
struct Both {
    runtime: Runtime,
    raw: Raw,
    house: House,
}

impl Both {
    fn new(place: &Place) -> Self {
        let action = place.plugin("measure");
        let runtime = Runtime::new().expect("threads");
        Self { runtime, raw: Raw::new(&action), house: House::new(&place.memory, &action) }
    }
}

const BARE: &str = "wasmtime: instantiate, call, drop";

/// A run that calls nothing.
pub fn runs(place: &Place) -> Section {
    let Both { runtime, raw, house } = Both::new(place);
    let (admitted, scope) = (house.admitted(), house::scope());
    let request = runtime.block_on(house.approved("0", u32::MAX));
    let [floor, session, whole] = in_turns(
        30,
        50,
        [
            &mut |n| {
                runtime.block_on(async {
                    for _ in 0..n {
                        raw.run("0").await;
                    }
                });
            },
            &mut |n| {
                runtime.block_on(async {
                    for _ in 0..n {
                        house.session(&admitted, &scope, "0").await;
                    }
                });
            },
            &mut |n| {
                runtime.block_on(async {
                    for _ in 0..n {
                        let done = house.bot.execute(&house.host, request, None).await;
                        assert!(done.expect("it runs").cause.is_none());
                    }
                });
            },
        ],
    );
    Section {
        title: "A run that calls nothing",
        figures: vec![
            Figure::new("admitted, with gate, window, watch, metering and journal", session, "µs")
                .over(BARE, floor)
                .at_most_times(1.5),
            Figure::new("from the approved request to its end, `run` and `verify`", whole, "µs")
                .over(BARE, floor),
        ],
        notes: Vec::new(),
    }
}

/// A look at a secret.
pub fn calls(place: &Place) -> Section {
    let Both { runtime, raw, house } = Both::new(place);
    let (admitted, scope) = (house.admitted(), house::scope());
    let many = CALLS.to_string();
    // In time of this thread alone, and with the journal's own in between: a run is not billed for the one before it.
    let alone = |input: &str| {
        std::thread::sleep(Duration::from_millis(50));
        runtime.block_on(house.session(&admitted, &scope, input));
    };
    let [no_raw, no_session, raw, session] = in_turns_on_cpu(
        50,
        1,
        [
            &mut |_| drop(runtime.block_on(raw.run("0"))),
            &mut |_| alone("0"),
            &mut |_| drop(runtime.block_on(raw.run(&many))),
            &mut |_| alone(&many),
        ],
    );
    let per_call = |whole: f64, empty: f64| (whole - empty) / f64::from(CALLS);
    Section {
        title: "A call that looks",
        figures: vec![
            Figure::new(
                "through the gate: authorised, recorded, hashed",
                per_call(session, no_session),
                "µs",
            )
            .over("wasmtime: an async binding", per_call(raw, no_raw))
            .at_most_more(1.0),
            scope_check(),
        ],
        notes: Vec::new(),
    }
}

/// What is held against other hosts: (the floor, Remit).
pub struct Compared {
    fresh: (f64, f64),
    call: (f64, f64),
    live: f64,
}

impl Compared {
    pub fn floor(&self, asked: &str) -> f64 {
        match asked {
            "fresh" => self.fresh.0,
            "live" => self.live,
            _ => self.call.0,
        }
    }

    /// None for what Remit does not do: no instance of its serves twice.
    pub fn remit(&self, asked: &str) -> Option<f64> {
        match asked {
            "fresh" => Some(self.fresh.1),
            "live" => None,
            _ => Some(self.call.1),
        }
    }
}

pub fn compared(place: &Place) -> Compared {
    let Both { raw, house, .. } = Both::new(place);
    // One thread, as the others are measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (admitted, scope) = (house.admitted(), house::scope());
    let many = CALLS.to_string();
    let mut live = runtime.block_on(raw.live());
    // Each for itself, as the others are: what comes in between costs the next one its caches.
    let [fresh_raw, fresh] = in_turns(
        30,
        300,
        [&mut |n| (0..n).for_each(|_| drop(runtime.block_on(raw.run("0")))), &mut |n| {
            (0..n).for_each(|_| drop(runtime.block_on(house.session(&admitted, &scope, "0"))));
        }],
    );
    let [live] = in_turns(30, 1_000, [&mut |n| (0..n).for_each(|_| drop(runtime.block_on(live.run("0"))))]);
    let [many_raw, many] = in_turns(
        30,
        5,
        [&mut |n| (0..n).for_each(|_| drop(runtime.block_on(raw.run(&many)))), &mut |n| {
            (0..n).for_each(|_| drop(runtime.block_on(house.session(&admitted, &scope, &many))));
        }],
    );
    let per_call = |whole: f64, empty: f64| (whole - empty) / f64::from(CALLS);
    Compared { fresh: (fresh_raw, fresh), call: (per_call(many_raw, fresh_raw), per_call(many, fresh)), live }
}

/// A look-up among a thousand patterns.
fn scope_check() -> Figure {
    let mut scope = house::scope();
    let pattern = |n: usize| match n % 4 {
        0 => format!("secret:prod/team-{n}/**"),
        1 => format!("secret:prod/team-{n}/*/password"),
        2 => format!("secret:prod/*/service-{n}"),
        _ => format!("secret:prod/team-{n}/service/key"),
    };
    scope.allow[0].resources = (0..1_000).map(|n| Pattern::new(&pattern(n)).expect("a pattern")).collect();
    let rules = scope.compile();
    let resources: Vec<Resource> = [
        "prod/team-500/db/password",
        "prod/team-501/db/password",
        "prod/x/service-998",
        "prod/team-999/nothing",
    ]
    .iter()
    .map(|path| Resource::new("secret", path).expect("a path"))
    .collect();
    let [took] = in_turns(
        30,
        4_000,
        [&mut |n| {
            for n in 0..n as usize {
                let _ = std::hint::black_box(rules.permits("remit:secrets/inspect", &resources[n % 4]));
            }
        }],
    );
    Figure::new("a look-up in a scope of 1,000 patterns", took, "µs").at_most(1.0)
}
