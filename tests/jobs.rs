//! Whole jobs against real systems, from what sets them off to what is left of them. Each is a story that begins well, and then what
//! goes wrong. `cargo xtask demo jobs` shows the stories; [docs/jobs.md](../docs/jobs.md) has what they are about.
//!
//! Another job is one more file in `jobs/`, with a story `the_job_…`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod contain;
mod gateway;
mod isolate;
mod isolate_fails;
mod kills;
mod report;
mod revoke;
mod rotate;
mod rotate_fails;
mod stage;
mod stale;

use crate::accounts::between;
use crate::connectors::systems;
use crate::crash::shim;

/// The page says of each job which test shows what. Each of them is there.
#[test]
fn each_test_that_the_page_names_is_there() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let page = std::fs::read_to_string(tests.join("../docs/jobs.md")).unwrap();
    let table =
        page.split("## What each job is shown to do\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let folders = std::fs::read_dir(&tests).unwrap().flatten().map(|entry| entry.path());
    let files = folders.filter(|path| path.is_dir()).chain([tests.clone()]).flat_map(|folder| {
        std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    });
    let rust = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let source: String = rust.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 9, "{rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        assert_eq!(cells.len(), 6, "{row}");
        for cell in &cells[1..] {
            let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            assert!(!named.is_empty(), "{row}");
            for name in named {
                assert!(source.contains(&format!("#[test]\nfn {name}()")), "there is no test {name}");
            }
        }
    }
}
