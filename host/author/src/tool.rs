//! Running a language's own tool.

use std::io::ErrorKind;
use std::process::Command;

use crate::AuthorError;

/// Runs a tool to its end and returns what it printed. A tool that is not there, or that fails, is an error
/// that says so in the tool's own words first.
pub(crate) fn run(
    command: &mut Command,
    language: &'static str,
    install: &str,
) -> Result<String, AuthorError> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(std::ffi::OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            AuthorError::ToolMissing { tool: tool.clone(), language, install: install.to_owned() }
        }
        _ => AuthorError::File { file: tool.clone(), why: error.to_string() },
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = [text(&output.stdout), text(&output.stderr)].concat().trim().to_owned();
    Err(AuthorError::ToolFailed { output: said, command: shown, status: output.status.to_string() })
}
