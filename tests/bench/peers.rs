//! Other hosts at the same work, beside Remit and the floor. They are a program of their own (see peers/README.md): what
//! they are built on is another wasmtime.

use std::process::Command;

use serde::Deserialize;

use crate::Place;
use crate::calls;
use crate::guests::tree;
use crate::measure::{Figure, Section};

#[derive(Deserialize)]
struct Report {
    peers: Vec<Peer>,
}

#[derive(Deserialize)]
struct Peer {
    host: String,
    version: String,
    settings: String,
    measures: Vec<Measure>,
}

#[derive(Deserialize)]
struct Measure {
    what: String,
    unit: Option<String>,
    median: Option<f64>,
    missing: Option<String>,
}

/// What is asked of each, in the order of the table.
const ASKED: [(&str, &str); 3] = [
    ("fresh", "instantiate, call, drop"),
    ("live", "a call on an instance that stays"),
    ("host-call", "a host call"),
];

pub fn peers(place: &Place) -> Section {
    let ours = calls::compared(place);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["run", "--release", "--locked", "--manifest-path", "tests/bench/peers/Cargo.toml"])
        .env("CARGO_TARGET_DIR", place.disk.join("peers"))
        .current_dir(tree())
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("cargo runs");
    let mut notes = Vec::new();
    let report = if told.status.success() {
        serde_json::from_slice(&told.stdout).expect("JSON")
    } else {
        notes.push("The others were not measured: what is said above is missing.".to_owned());
        Report { peers: Vec::new() }
    };
    notes.push(
        "Only Remit authorises and records a call; the others' functions return a constant. \
         tests/bench/peers/README.md says what else is not comparable."
            .to_owned(),
    );
    let mut figures = Vec::new();
    for (asked, words) in ASKED {
        let floor = ours.floor(asked);
        let figure = |who: String, value: f64| {
            Figure::new(format!("{words}: {who}"), value, "µs").over("wasmtime 48", floor)
        };
        figures.extend(ours.remit(asked).map(|value| figure("Remit".to_owned(), value)));
        for peer in &report.peers {
            let who = format!("{} {}", peer.host, peer.version);
            let who = if peer.settings == "as it comes" {
                who
            } else {
                format!("{who} ({})", short(&peer.settings))
            };
            for measure in peer.measures.iter().filter(|measure| measure.what == asked) {
                match (measure.median, measure.unit.as_deref()) {
                    (Some(nanos), Some("ns")) => figures.push(figure(who.clone(), nanos / 1_000.0)),
                    _ => notes.push(format!(
                        "{who} was not measured: {}",
                        measure.missing.as_deref().unwrap_or("in another unit")
                    )),
                }
            }
        }
    }
    notes.dedup();
    Section { title: "Peers", figures, notes }
}

/// The first words of a peer's settings.
fn short(settings: &str) -> &str {
    settings.split([',', ';']).next().unwrap_or(settings)
}
