//! What it takes to build Remit: a release build from nothing, on two cores.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use crate::Place;
use crate::guests::tree;
use crate::measure::{Figure, Section};

/// One thing that cargo compiled, as its `--timings` report has it.
#[derive(Deserialize)]
struct Unit {
    name: String,
    version: String,
    duration: f64,
}

pub fn build(place: &Place) -> Section {
    let target = place.disk.join("clean");
    let _ = fs::remove_dir_all(&target);
    let since = Instant::now();
    cargo(&["build", "--release", "--locked", "-p", "remit", "-j", "2", "--timings"])
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_INCREMENTAL")
        .status()
        .map(|status| assert!(status.success(), "Remit was not built"))
        .expect("cargo runs");
    let took = since.elapsed().as_secs_f64();
    let size = fs::metadata(target.join("release/remit")).expect("a program").len();
    let report = fs::read_to_string(target.join("cargo-timings/cargo-timing.html")).expect("a report");
    let _ = fs::remove_dir_all(&target);
    let (_, units) = report.split_once("const UNIT_DATA = ").expect("cargo's data");
    let mut units = serde_json::Deserializer::from_str(units).into_iter::<Vec<Unit>>();
    let units = units.next().expect("some").expect("JSON");

    let packages: BTreeSet<_> = units.iter().map(|unit| (&unit.name, &unit.version)).collect();
    let mut figures = vec![
        Figure::new("the program, stripped", size as f64 / f64::from(1 << 20), "MiB"),
        Figure::new("a release build from nothing, on two cores", took / 60.0, "min"),
        Figure::new("packages that it compiles, Remit's own among them", packages.len() as f64, ""),
        Figure::new("packages that the program consists of", linked() as f64, ""),
    ];
    let mut heavy = BTreeMap::new();
    for unit in &units {
        *heavy.entry(&unit.name).or_insert(0.0) += unit.duration;
    }
    let mut heavy: Vec<_> = heavy.into_iter().filter(|(name, _)| !name.starts_with("remit")).collect();
    heavy.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    figures.extend(
        heavy.iter().take(10).map(|(name, took)| Figure::new(format!("compiling {name}"), *took, "s")),
    );
    Section { title: "Building it", figures, notes: Vec::new() }
}

/// How many packages the program has in it.
fn linked() -> usize {
    let listed = cargo(&[
        "tree",
        "--locked",
        "-p",
        "remit",
        "-e",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
    ])
    .stdout(Stdio::piped())
    .output()
    .expect("cargo runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    listed.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>().len()
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(tree()).stdin(Stdio::null());
    command
}
