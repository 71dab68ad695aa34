//! `cargo bench -p remit`: what Remit costs, beside what it stands on.
//!
//! Every figure is held against a floor that is measured in the same process, in turns with it. The table is printed
//! as docs/performance.md shows it, and written as JSON to `target/bench/performance.json`.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot measure stops"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(missing_docs, reason = "a program, not a library")]

mod bare;
mod build;
mod calls;
mod changes;
mod cold;
mod guests;
mod house;
mod measure;
mod memory;
mod peers;
mod raw;
mod serve;
mod sizes;
mod through;

use std::path::{Path, PathBuf};

use measure::Section;

/// That of `remit`: what is measured is what runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can be asked for by name.
const PARTS: &[(&str, fn(&Place) -> Section)] = &[
    ("runs", calls::runs),
    ("calls", calls::calls),
    ("changes", changes::changes),
    ("connector", through::through),
    ("together", changes::together),
    ("sizes", sizes::sizes),
    ("cold", cold::cold),
    ("memory", memory::memory),
    ("serve", serve::serve),
    ("crowd", serve::crowd),
    ("peers", peers::peers),
    ("build", build::build),
];

/// Where things are kept while it measures.
pub struct Place {
    /// The target directory: a real disk.
    pub disk: PathBuf,
    /// Memory that looks like a disk, where waiting for it costs nothing.
    pub memory: PathBuf,
    /// The compiled guests.
    pub plugins: PathBuf,
}

impl Place {
    fn new() -> Self {
        // `<target>/release/deps/performance-…`.
        let program = std::env::current_exe().expect("a path");
        let target = program.ancestors().nth(3).expect("a target directory").to_owned();
        let disk = target.join("bench");
        std::fs::create_dir_all(&disk).expect("a folder");
        Self { plugins: guests::build(&target), disk, memory: PathBuf::from("/dev/shm") }
    }

    #[must_use]
    pub fn plugin(&self, name: &str) -> Vec<u8> {
        let file = self.plugins.join(format!("{name}.wasm"));
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().is_some_and(|first| first == memory::ALONE) {
        return memory::alone(args);
    }
    // Cargo adds `--bench`; what is left are the parts that are wanted, all if none is.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        let parts: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        eprintln!("there is no part `{unknown}`; there are {}", parts.join(", "));
        std::process::exit(2);
    }
    let place = Place::new();
    let mut sections = Vec::new();
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let section = part(&place);
            println!("{}", measure::table(&section));
            sections.push(section);
        }
    }
    let json = serde_json::to_vec_pretty(&sections).expect("JSON");
    let file = place.disk.join("performance.json");
    std::fs::write(&file, json).expect("written");
    println!("{}", shown(&file));
}

/// Relative to the tree, if it lies there.
fn shown(file: &Path) -> String {
    file.strip_prefix(guests::tree()).unwrap_or(file).display().to_string()
}
