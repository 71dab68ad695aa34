//! The results of tests. Their JSON form is the output of `remit test --format json`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The result of one test.
#[derive(Clone, Debug, Serialize)]
pub struct TestResult {
    /// The file of the test; for a test of a failing call, that call too.
    pub name: String,
    /// Whether the result is as expected.
    pub passed: bool,
    /// What differs from the expectation, in lines; empty if the test passed.
    pub differs: Vec<String>,
    /// How long the test took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// The results of all tests of an action.
#[derive(Clone, Debug, Serialize)]
pub struct TestReport {
    /// The file of the action.
    pub action: PathBuf,
    /// How many tests passed.
    pub passed: usize,
    /// How many tests failed.
    pub failed: usize,
    /// Each test.
    pub tests: Vec<TestResult>,
}

impl TestReport {
    /// Counts the tests that passed and failed.
    #[must_use]
    pub fn of(action: PathBuf, tests: Vec<TestResult>) -> Self {
        let passed = tests.iter().filter(|test| test.passed).count();
        Self { action, passed, failed: tests.len() - passed, tests }
    }
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}
