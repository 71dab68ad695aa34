//! Helpers that several commands use.

use std::path::Path;

use miette::Diagnostic;
use remit_file::{Kind, Wrote};
use remit_gate::Scope;
use remit_lifecycle::{Error, Home, Host, Input};
use remit_sandbox::{Candidate, Inspection};

use super::recovery;
use crate::print;

/// The result of a command: an exit code, or an error that has one.
pub(crate) type Done<T = u8> = Result<T, Box<dyn Diagnostic + Send + Sync>>;

/// Opens a home for a command that acts. First recovers every run whose host was killed.
pub(crate) async fn open(home: &Home) -> Result<Host, Error> {
    open_for(home, None).await
}

/// The same for a command that runs this action. If the action has to be compiled, it is compiled before the home is opened.
pub(crate) async fn open_for(home: &Home, action: Option<&Candidate>) -> Result<Host, Error> {
    let host = match action {
        Some(action) => home.open_for(action)?,
        None => home.open()?,
    };
    let outcome = remit_lifecycle::recover(&host).await?;
    recovery::stuck(&outcome);
    for run in outcome.restored {
        recovery::warn(&run);
        print::warn(&format!(
            "note: the time of {} was up (`restore_after`); it is {} now",
            run.run, run.state
        ));
    }
    for run in outcome.paged {
        print::warn(&format!(
            "note: the time of {run} was up (`page_after`, or its changes cannot be undone): `remit show {run}`"
        ));
    }
    for run in outcome.recovered {
        if recovery::warn(&run) == 0 {
            print::warn(&format!(
                "note: the host of {} stopped before the run ended; it is {} now",
                run.run, run.state
            ));
        }
    }
    Ok(host)
}

/// Sends the waiting events once, after a command that acted. `remit notify` tries again what fails.
pub(crate) async fn notify(host: &Host) {
    match remit_lifecycle::notify(host, std::time::Duration::from_secs(2)).await {
        Ok(delivery) => {
            for error in delivery.failed {
                print::warn(&format!("note: {error}; `remit notify` tries again"));
            }
        }
        Err(error) => print::warn(&format!("note: no event could be sent: {error}")),
    }
}

/// Reads an action from its file, for a server.
pub(crate) fn read_action(path: &Path) -> Result<Candidate, Error> {
    Ok(Candidate::read(path)?)
}

/// The value of `--input`. Pairs may be repeated.
pub(crate) const INPUT: &str = "JSON|@FILE|-|KEY=VALUE";

/// Reads `--input`: JSON, `@FILE` or the name of a file, `-` for standard input, or pairs.
pub(crate) fn input(arguments: &[String], action: &Candidate) -> Done<Input> {
    if arguments.iter().all(|argument| is_pair(argument)) {
        return Ok(Input::of_pairs(arguments, &Inspection::of(action)?)?);
    }
    let [argument] = arguments else {
        let why = "--input is given several times, and not as KEY=VALUE".to_owned();
        return Err(usage(why, "give one JSON document, or each key as --input KEY=VALUE"));
    };
    Ok(document(argument)?)
}

/// Whether it is `KEY=VALUE` and not the name of a file.
fn is_pair(argument: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    argument.split_once('=').is_some_and(|(key, _)| !key.is_empty() && key.chars().all(word))
        && !Path::new(argument).exists()
}

fn document(argument: &str) -> Result<Input, Error> {
    if argument == "-" {
        let read = remit_file::standard_input(Kind::Input)?;
        return Input::parse(read.text()?, read.shown());
    }
    if argument.trim_start().starts_with(['{', '[', '"']) {
        return Input::parse(argument, "--input");
    }
    if remit_text::json::is_json(argument) && !Path::new(argument).exists() {
        return Input::parse(argument, "--input");
    }
    let file = argument.strip_prefix('@').unwrap_or(argument);
    Input::parse(&read(Path::new(file), Kind::Input)?, file)
}

/// An error in the arguments, with the next step.
pub(crate) fn usage(what: String, help: &str) -> Box<dyn Diagnostic + Send + Sync> {
    Box::new(miette::MietteDiagnostic::new(what).with_code("usage::argument").with_help(help))
}

/// Reads text from a file, a pipe, or `-` for standard input.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<String, Error> {
    Ok(remit_file::given(path, kind)?.into_text()?)
}

/// Reads a scope, if one was named.
pub(crate) fn scope(file: Option<&Path>) -> Result<Option<Scope>, Error> {
    let parse = |file: &Path| Ok(Scope::parse(&read(file, Kind::Scope)?, &file.display().to_string())?);
    file.map(parse).transpose()
}

/// Writes output to a file or a pipe.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<Wrote, Error> {
    Ok(remit_file::write(path, text.as_ref())?)
}
