//! Running a language's own tool.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use crate::AuthorError;
use crate::folder::Folder;

/// A command in the project's folder, for a tool that is known by any of `names`: the project's own
/// (`node_modules`, `.venv`), else the one on the path.
pub(crate) fn command(
    project: &Folder<'_>,
    names: &[&str],
    language: &'static str,
    install: &str,
) -> Result<Command, AuthorError> {
    let missing =
        || AuthorError::ToolMissing { tool: names[0].to_owned(), language, install: install.to_owned() };
    let dir = std::path::absolute(project.dir).map_err(|error| AuthorError::file(project.dir, &error))?;
    let mut places = vec![dir.join("node_modules/.bin"), dir.join(".venv/bin")];
    places.extend(std::env::split_paths(&path(project)));
    let found: PathBuf = names
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)))
        .find(|file| file.is_file())
        .ok_or_else(missing)?;
    let mut command = Command::new(found);
    command.current_dir(dir).envs(project.environment.iter().cloned());
    Ok(command)
}

/// The folders in which programs are searched for.
fn path(project: &Folder<'_>) -> OsString {
    let own = project.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    own.or_else(|| remit_text::env::var("PATH")).unwrap_or_default()
}

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
