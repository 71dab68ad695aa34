//! `remit test`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use remit_author::Project;
use remit_offline::{Bench, Case, Fixture, TestReport, TestResult, differences, record};

use super::common::{Done, usage};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Needs no home, no keys and no live system: each test describes the systems that it needs.\n\nExamples:\n  remit test                                    in an action's folder: tests/*.toml\n  remit test rotate-secret.wasm tests/one.toml\n  remit test --record                           write what happens as the expected result\n  remit test --format junit > report.xml"
)]
pub(crate) struct Test {
    /// The action (.wasm) and tests (.toml) [default: those of this folder].
    files: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Do not build the action first, even if its sources have changed.
    #[arg(long)]
    no_build: bool,
    /// Write what happens into the tests, as the expected result.
    #[arg(long)]
    record: bool,
    /// The format of the result.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines of text.
    Text,
    /// One JSON document.
    Json,
    /// A `JUnit` report, as CI systems read it.
    Junit,
}

impl Test {
    pub(crate) async fn run(self) -> Done {
        let (actions, fixtures): (Vec<_>, Vec<_>) =
            self.files.iter().cloned().partition(|file| file.extension().is_some_and(|e| e == "wasm"));
        let action = match &actions[..] {
            [] => built(self.no_build)?,
            [one] => {
                warn_if_old(one);
                one.clone()
            }
            _ => return Err(usage("several actions are given".to_owned(), "test one at a time")),
        };
        let fixtures = if fixtures.is_empty() { beside(&action)? } else { fixtures };
        // Reads every file before the first test, so that a mistake in the last file is found at once.
        let loaded = fixtures.iter().map(|file| Fixture::load(file)).collect::<Result<Vec<_>, _>>()?;
        let cache = cache();
        let mut bench = Bench::new(&action, cache.as_deref())?;
        let mut tests = Vec::new();
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
                        "call {} was never made: the run made {calls}, so nothing failed; correct `at`",
                        fault.at
                    )
                });
                let differs = match (missed, expect) {
                    // A failure that did not happen is not recorded.
                    (Some(missed), _) => vec![missed],
                    _ if self.record => Vec::new(),
                    (None, Some(expect)) => differences(expect, &seen.came_of_it),
                    (None, None) => {
                        vec!["it expects nothing: `remit test --record` writes down what happens".to_owned()]
                    }
                };
                recorded.push(differs.is_empty().then_some(seen.came_of_it));
                let test = TestResult { name, passed: differs.is_empty(), differs, took: since.elapsed() };
                if self.format == Format::Text {
                    print_result(&test, self.record);
                }
                tests.push(test);
            }
            if self.record {
                record(file, &recorded)?;
            }
        }
        if tests.is_empty() {
            return Err(usage(
                "no test was run".to_owned(),
                "check --filter, and that tests/*.toml is there",
            ));
        }
        let report = TestReport::of(action, tests);
        match self.format {
            Format::Text => {
                let took: f64 = report.tests.iter().map(|test| test.took.as_secs_f64()).sum();
                say!("\n{} passed, {} failed in {took:.2} s", report.passed, report.failed);
            }
            Format::Json => print::json(&report)?,
            Format::Junit => print::raw(junit(&report)?.as_bytes()),
        }
        Ok(u8::from(report.failed > 0))
    }
}

/// The action of this folder. Builds it if it is missing, or older than its sources.
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
            warn_old(&file, newer);
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

/// Warns if an action is older than the sources beside it.
fn warn_if_old(action: &Path) {
    let folder = action.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(project) = Project::open(folder) else { return };
    let named = project.component().file_name() == action.file_name();
    let at = std::fs::metadata(action).and_then(|meta| meta.modified());
    if let (true, Ok(at)) = (named, at)
        && let Ok(Some(newer)) = project.changed_since(at)
    {
        warn_old(action, &newer);
    }
}

fn warn_old(action: &Path, newer: &Path) {
    let (action, newer) = (action.display(), newer.display());
    print::warn(&format!(
        "warning: {newer} was changed after {action} was built: `remit build` builds it again"
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

/// The folder for compiled components of tests; none if there is no folder for caches.
fn cache() -> Option<PathBuf> {
    let base = remit_text::env::var("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| remit_text::env::var("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let folder = base.join("remit");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("compiled"))
}

fn print_result(test: &TestResult, recorded: bool) {
    let took = format!("{:.2} s", test.took.as_secs_f64());
    match (test.passed, recorded) {
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

fn junit(report: &TestReport) -> Done<String> {
    let mut suite = TestSuite::new(report.action.display().to_string());
    for test in &report.tests {
        let status = if test.passed {
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
    let mut junit = Report::new("remit test");
    junit.add_test_suite(suite);
    let help = "this is a defect of Remit; report it";
    junit.to_string().map_err(|error| usage(format!("the report cannot be written: {error}"), help))
}
