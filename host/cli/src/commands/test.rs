//! `remit test`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use remit_author::Project;
use remit_connector::{Description, Entry};
use remit_offline::connector::{ConnectorBench, Real, Story, record_story, story_differences, undone};
use remit_offline::{Bench, Case, Fixture, TestReport, TestResult, differences, record};
use remit_sandbox::{Candidate, Inspection};

use super::common::{Done, usage};
use super::sealed::SecretInputs;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Needs no home, no keys and no live system: each test describes the systems that it needs.\n\nExamples:\n  remit test                                    in the folder of an action or a connector: tests/*.toml\n  remit test rotate-secret.wasm tests/one.toml\n  remit test --record                           write what happens as the expected result\n  remit test --record --entry remit.toml        of a connector: and what its real system answers\n  remit test --format junit > report.xml"
)]
pub(crate) struct Test {
    /// The component (.wasm) and tests (.toml) [default: those of this folder].
    files: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Do not build the component first, even if its sources have changed.
    #[arg(long)]
    no_build: bool,
    /// Write what happens into the tests, as the expected result.
    #[arg(long)]
    record: bool,
    /// Of a connector, with --record: send the requests to the real system of the [[connector]] in FILE, which is like remit.toml,
    /// and write down what it answers, without secrets. What is changed is changed there.
    #[arg(long, value_name = "FILE", requires = "record")]
    entry: Option<PathBuf>,
    #[command(flatten)]
    secrets: SecretInputs,
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
            _ => return Err(usage("several components are given".to_owned(), "test one at a time")),
        };
        let fixtures = if fixtures.is_empty() { beside(&action)? } else { fixtures };
        let tests = if Inspection::of(&Candidate::read(&action)?)?.is_connector() {
            self.connector(&action, &fixtures).await?
        } else {
            self.action(&action, &fixtures).await?
        };
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

    /// Whether a test is left out.
    fn skips(&self, name: &str) -> bool {
        !self.record && self.filter.as_ref().is_some_and(|filter| !name.contains(filter))
    }

    /// The result of a test; printed at once, if it is text that is wanted.
    fn result(&self, name: String, differs: Vec<String>, since: Instant) -> TestResult {
        let test = TestResult { name, passed: differs.is_empty(), differs, took: since.elapsed() };
        if self.format == Format::Text {
            print_result(&test, self.record);
        }
        test
    }

    async fn connector(&self, component: &Path, fixtures: &[PathBuf]) -> Done<Vec<TestResult>> {
        let loaded = fixtures.iter().map(PathBuf::as_path).map(Story::load).collect::<Result<Vec<_>, _>>()?;
        let cache = cache();
        let mut bench = ConnectorBench::new(component, cache.as_deref()).await?;
        if let Some(file) = &self.entry {
            let sealed = self.secrets.read("test.invalid/journal")?.into_values().into_iter();
            let sealed = sealed.map(|(handle, opening)| (handle.name().to_owned(), opening.into_value()));
            let real = real(file)?;
            warn_of_changes(bench.description(), &real.entry, &loaded);
            bench = bench.at(real, sealed.collect::<BTreeMap<_, _>>());
        } else if !self.secrets.is_empty() {
            return Err(usage(
                "--secret-input is for a real system".to_owned(),
                "name its --entry, or write a made-up value into [sealed] of the test",
            ));
        }
        let (mut tests, mut passed) = (Vec::new(), Vec::new());
        for (file, story) in fixtures.iter().zip(&loaded) {
            let name = file.display().to_string();
            if self.skips(&name) {
                continue;
            }
            let since = Instant::now();
            let told = bench.play(file, story).await?;
            let differs = if self.record {
                told.scenes.iter().filter_map(|seen| seen.otherwise.clone()).collect()
            } else {
                story_differences(&story.phases, &told.scenes)
            };
            if self.record && differs.is_empty() {
                record_story(file, &story.phases, &told)?;
            } else if differs.is_empty() {
                passed.push(story);
            }
            tests.push(self.result(name, differs, since));
        }
        if !self.record && self.filter.is_none() {
            let missing = undone(bench.description(), &passed);
            tests.extend(missing.into_iter().map(|(name, why)| self.result(name, vec![why], Instant::now())));
        }
        Ok(tests)
    }

    async fn action(&self, action: &Path, fixtures: &[PathBuf]) -> Done<Vec<TestResult>> {
        if self.entry.is_some() || !self.secrets.is_empty() {
            return Err(usage(
                format!("{} is an action, which no real system is tested with", action.display()),
                "--entry and --secret-input are for connectors: describe the systems in the test",
            ));
        }
        // Reads every file before the first test, so that a mistake in the last file is found at once.
        let loaded =
            fixtures.iter().map(PathBuf::as_path).map(Fixture::load).collect::<Result<Vec<_>, _>>()?;
        let cache = cache();
        let mut bench = Bench::new(action, cache.as_deref())?;
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
                if self.skips(&name) {
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
                    _ if !seen.unanswered.is_empty() => {
                        let told = |call: &String| format!("no [[call]] answers {call}");
                        seen.unanswered.iter().map(told).collect()
                    }
                    // A failure that did not happen is not recorded.
                    (Some(missed), _) => vec![missed],
                    _ if self.record => Vec::new(),
                    (None, Some(expect)) => differences(expect, &seen.came_of_it),
                    (None, None) => {
                        vec!["it expects nothing: `remit test --record` writes down what happens".to_owned()]
                    }
                };
                recorded.push(differs.is_empty().then_some(seen.came_of_it));
                tests.push(self.result(name, differs, since));
            }
            if self.record {
                record(file, &recorded)?;
            }
        }
        Ok(tests)
    }
}

/// Says what is about to be changed, and that nothing stands between: there is no scope, approval or journal here.
fn warn_of_changes(description: &Description, entry: &Entry, stories: &[Story]) {
    let may = |story: &&Story| {
        description.function(&story.function).is_some_and(|of| {
            // A test without phases gets the usual ones.
            let all = story.phases.is_empty() && !of.change().is_empty();
            all || story.phases.iter().any(|scene| !scene.run.writes(of).is_empty())
        })
    };
    let changes: BTreeSet<&str> = stories.iter().filter(may).map(|story| story.function.as_str()).collect();
    let changes: Vec<&str> = changes.into_iter().collect();
    if changes.is_empty() {
        return;
    }
    let as_whom = if entry.credential.is_some() { "with the credential of" } else { "by" };
    print::warn(&format!(
        "note: this changes things at {}, {as_whom} the entry `{}`: {}. Nobody approves it, and no journal has it",
        entry.origin,
        print::word(&entry.name),
        changes.join(", ")
    ));
}

/// The one connector in a file like `remit.toml`, whose other parts are not looked at. Its files are relative to that file.
fn real(file: &Path) -> Done<Real> {
    let wrong = |why: String| {
        let help = "it has one [[connector]], as in remit.toml: docs/connectors.md lists its keys";
        usage(format!("{} is no entry of a connector: {why}", file.display()), help)
    };
    let read =
        remit_file::given(file, remit_file::Kind::Configuration).map_err(remit_lifecycle::Error::from)?;
    let text = read.into_text().map_err(remit_lifecycle::Error::from)?;
    let mut entries = remit_text::Table::parse_exact(&text)
        .and_then(|mut all| {
            all.entries("connector")?.into_iter().map(Entry::read).collect::<Result<Vec<_>, _>>()
        })
        .map_err(|mistake| wrong(mistake.to_string()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (entries.pop(), entries.len()) {
        (Some(entry), 0) => Ok(Real { entry, folder: folder.to_owned() }),
        (None, _) => Err(wrong("it has no [[connector]]".to_owned())),
        (_, more) => Err(wrong(format!("it has {} of them", more + 1))),
    }
}

/// The component of this folder. Builds it if it is missing, or older than its sources.
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
