//! `remit test`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use remit_author::Project;
use remit_offline::{Bench, Case, Fixture, differences, record};
use serde_json::json;

use super::common::{Done, usage};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "No home, no keys, no live system: each test has an estate of its own.\n\nExamples:\n  remit test                                    in an action's folder: tests/*.toml\n  remit test rotate-secret.wasm tests/one.toml\n  remit test --record                           write what happens as what is expected\n  remit test --format junit > report.xml"
)]
pub(crate) struct Test {
    /// The action (.wasm) and tests (.toml); otherwise those of the folder.
    files: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Take the action as it was built, also if its sources were changed since.
    #[arg(long)]
    no_build: bool,
    /// Write what happens into the tests, as what is expected.
    #[arg(long)]
    record: bool,
    /// How to tell the result.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for a person.
    Text,
    /// One JSON document.
    Json,
    /// A `JUnit` report, as CI systems read it.
    Junit,
}

/// One test that was carried out.
struct Ran {
    name: String,
    took: Duration,
    /// What differs; empty if it passed.
    differs: Vec<String>,
}

impl Test {
    pub(crate) async fn run(self) -> Done {
        let (actions, fixtures): (Vec<_>, Vec<_>) =
            self.files.iter().cloned().partition(|file| file.extension().is_some_and(|e| e == "wasm"));
        let action = match &actions[..] {
            [] => built(self.no_build)?,
            [one] => {
                tell_if_old(one);
                one.clone()
            }
            _ => return Err(usage("several actions are given".to_owned(), "test one at a time")),
        };
        let fixtures = if fixtures.is_empty() { beside(&action)? } else { fixtures };
        // Every file is read before anything is tried: a typo in the last one is told at once.
        let loaded = fixtures.iter().map(|file| Fixture::load(file)).collect::<Result<Vec<_>, _>>()?;
        let cache = cache();
        let mut bench = Bench::new(&action, cache.as_deref())?;
        let mut ran = Vec::new();
        for (file, fixture) in fixtures.iter().zip(&loaded) {
            let shown = file.display().to_string();
            let faults = fixture.faults.iter().map(Some);
            let mut recorded = Vec::new();
            for fault in std::iter::once(None).chain(faults) {
                let name = match fault {
                    None => shown.clone(),
                    Some(fault) => format!("{shown}, {fault}"),
                };
                if !self.record && self.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
                    continue;
                }
                let since = Instant::now();
                let seen = bench.try_case(Case { fixture, fault }).await?;
                let expect = fault.map_or(&fixture.expect, |fault| &fault.expect);
                let missed = fault.zip(seen.missed).map(|(fault, calls)| {
                    format!(
                        "call {} never came: the run made {calls}, so nothing failed; correct `at`",
                        fault.at
                    )
                });
                let differs = match (missed, expect) {
                    // What did not happen is not worth writing down.
                    (Some(missed), _) => vec![missed],
                    _ if self.record => Vec::new(),
                    (None, Some(expect)) => differences(expect, &seen.came_of_it),
                    (None, None) => {
                        vec!["it expects nothing: `remit test --record` writes down what happens".to_owned()]
                    }
                };
                recorded.push(differs.is_empty().then_some(seen.came_of_it));
                let done = Ran { name, took: since.elapsed(), differs };
                if self.format == Format::Text {
                    tell(&done, self.record);
                }
                ran.push(done);
            }
            if self.record {
                record(file, &recorded)?;
            }
        }
        if ran.is_empty() {
            return Err(usage(
                "no test was carried out".to_owned(),
                "check --filter, and that tests/*.toml is there",
            ));
        }
        let failed = ran.iter().filter(|test| !test.differs.is_empty()).count();
        let took: Duration = ran.iter().map(|test| test.took).sum();
        match self.format {
            Format::Text => {
                say!("\n{} passed, {failed} failed in {:.2} s", ran.len() - failed, took.as_secs_f64());
            }
            Format::Json => {
                let tests: Vec<_> = ran.iter().map(|test| json!({"name": test.name, "passed": test.differs.is_empty(), "differs": test.differs, "seconds": test.took.as_secs_f64()})).collect();
                print::json(
                    &json!({"action": action, "passed": ran.len() - failed, "failed": failed, "tests": tests}),
                )?;
            }
            Format::Junit => print::raw(junit(&action, &ran)?.as_bytes()),
        }
        Ok(u8::from(failed > 0))
    }
}

/// The action of this folder: built now, if it is not or if its sources were changed since.
fn built(no_build: bool) -> Done<PathBuf> {
    let project = Project::open(Path::new("."))?;
    let file = project.component();
    let file = file.strip_prefix(".").map(Path::to_owned).unwrap_or(file);
    let at = std::fs::metadata(&file).and_then(|meta| meta.modified()).ok();
    let newer = match at {
        Some(at) => project.changed_since(at)?,
        None => None,
    };
    match (at, &newer) {
        (None, _) if no_build => {
            return Err(usage(
                "the action is not built".to_owned(),
                "run `remit build` first, or leave out --no-build",
            ));
        }
        (Some(_), None) => return Ok(file),
        (Some(_), Some(newer)) if no_build => {
            tell_old(&file, newer);
            return Ok(file);
        }
        (Some(_), Some(newer)) => {
            print::warn(&format!(
                "note: building first: {} was changed after {}",
                newer.display(),
                file.display()
            ));
        }
        (None, _) => print::warn("note: building first"),
    }
    remit_author::build(&project, None)?;
    Ok(file)
}

/// Says so if an action that lies in its project was built from other sources than are there now.
fn tell_if_old(action: &Path) {
    let folder = action.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(project) = Project::open(folder) else { return };
    let named = project.component().file_name() == action.file_name();
    let at = std::fs::metadata(action).and_then(|meta| meta.modified());
    if let (true, Ok(at)) = (named, at)
        && let Ok(Some(newer)) = project.changed_since(at)
    {
        tell_old(action, &newer);
    }
}

fn tell_old(action: &Path, newer: &Path) {
    let (action, newer) = (action.display(), newer.display());
    print::warn(&format!(
        "warning: {newer} was changed after {action} was built: `remit build` makes it anew"
    ));
}

/// The tests in the folder `tests` beside the action.
fn beside(action: &Path) -> Done<Vec<PathBuf>> {
    let folder = action.parent().unwrap_or(Path::new("")).join("tests");
    let found = match remit_file::list(&folder, remit_file::Kind::Fixture) {
        Err(error) if error.is_missing() => Vec::new(),
        found => found.map_err(remit_lifecycle::Error::from)?,
    };
    let files: Vec<PathBuf> = found
        .into_iter()
        .map(|entry| entry.path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    if files.is_empty() {
        let what = format!("there are no tests in {}", folder.display());
        return Err(usage(
            what,
            "name the tests (.toml), or write one; docs/authoring.md shows how they look",
        ));
    }
    Ok(files)
}

/// Where what is compiled for tests is kept from one time to the next; without a place, nowhere.
fn cache() -> Option<PathBuf> {
    let base = remit_text::env::var("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| remit_text::env::var("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let folder = base.join("remit");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("compiled"))
}

fn tell(test: &Ran, recorded: bool) {
    let took = format!("{:.2} s", test.took.as_secs_f64());
    match (test.differs.is_empty(), recorded) {
        (true, true) => say!("wrote   {}  {took}", test.name),
        (true, false) => say!("ok      {}  {took}", test.name),
        (false, _) => {
            say!("FAILED  {}  {took}", test.name);
            for line in &test.differs {
                say!("          {}", print::word(line));
            }
        }
    }
}

fn junit(action: &Path, ran: &[Ran]) -> Done<String> {
    let mut suite = TestSuite::new(action.display().to_string());
    for test in ran {
        let status = if test.differs.is_empty() {
            TestCaseStatus::success()
        } else {
            let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failed.set_description(test.differs.join("\n"));
            failed
        };
        let mut case = TestCase::new(test.name.clone(), status);
        case.set_time(test.took);
        suite.add_test_case(case);
    }
    let mut report = Report::new("remit test");
    report.add_test_suite(suite);
    let help = "this is a defect of Remit; report it";
    report.to_string().map_err(|error| usage(format!("the report cannot be written: {error}"), help))
}
