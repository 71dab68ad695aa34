//! `--secret-input`: values that an action uses and never sees.

use std::path::Path;

use clap::Args;
use remit_file::Kind;
use remit_lifecycle::{Error, Host, Input, keep_sealed_input};
use remit_trust::{Handle, KeyId, Opening, SecretText};

use super::common::{Done, usage};
use crate::place::Server;
use crate::print;

#[derive(Args)]
pub(crate) struct SecretInputs {
    /// A key of the input whose value the component uses and never sees: it is read from FILE, or - for standard input. May be
    /// repeated.
    #[arg(long = "secret-input", value_name = "NAME=@FILE")]
    given: Vec<String>,
}

/// Values that were read, each with the handle that the action gets.
#[derive(Default)]
pub(crate) struct Sealing(Vec<(Handle, Opening)>);

impl SecretInputs {
    /// Reads the values, for the journal `log`.
    pub(crate) fn read(&self, log: &str) -> Done<Sealing> {
        self.given.iter().map(|argument| read(argument, log)).collect::<Done<_>>().map(Sealing)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }
}

/// Reads one value. No message quotes the argument: somebody may have put the value itself there.
fn read(argument: &str, log: &str) -> Done<(Handle, Opening)> {
    const HELP: &str = "write --secret-input NAME=@FILE, or NAME=@- for standard input: what is on a command line, others can read";
    let Some((name, file)) = argument.split_once('=') else {
        return Err(usage("a --secret-input names no file".to_owned(), HELP));
    };
    if !Handle::is_name(name) {
        let why = "the name of a --secret-input is not made of 1 to 64 letters, digits, - and _".to_owned();
        return Err(usage(why, HELP));
    }
    let Some(file) = file.strip_prefix('@') else {
        return Err(usage(format!("the value of --secret-input {name} is on the command line"), HELP));
    };
    let read = remit_file::given(Path::new(file), Kind::Secret).map_err(Error::from)?;
    if let Some(mode) = read.exposed() {
        let mode = mode & 0o777;
        print::warn(&format!("note: others can read {file} (mode {mode:o}): chmod 600 {file}"));
    }
    let value = SecretText::new(read.into_text().map_err(Error::from)?);
    if value.expose().len() > Opening::MAX {
        return Err(usage(format!("the value of {name} is longer than 64 KiB"), "give a shorter one"));
    }
    if value.expose().ends_with('\n') {
        print::warn(&format!("note: the value of {name} ends with a line break, which is a part of it"));
    }
    let opening = Opening::new(value).map_err(Error::from)?;
    Ok((opening.handle(log, name), opening))
}

impl Sealing {
    /// The values themselves.
    pub(crate) fn into_values(self) -> Vec<(Handle, Opening)> {
        self.0
    }

    /// The input with the handles in it.
    pub(crate) fn within(&self, input: &Input) -> Result<Input, Error> {
        input.with_sealed(self.0.iter().map(|(handle, _)| handle))
    }

    /// Lets this home keep the values for the principal with this key.
    pub(crate) fn keep(&self, host: &Host, by: &KeyId) -> Result<(), Error> {
        self.0.iter().try_for_each(|(handle, opening)| keep_sealed_input(host, by, handle, opening))
    }

    /// Lets the home behind a server keep them.
    pub(crate) fn upload(&self, server: &Server) -> Done<()> {
        self.0.iter().try_for_each(|(handle, opening)| server.seal(handle, opening))
    }

    /// Says what has to be given instead of the values when a document that was signed elsewhere is submitted.
    pub(crate) fn tell(&self) {
        for (handle, _) in &self.0 {
            print::warn(&format!("note: to submit it, give --input {}={handle}", handle.name()));
        }
    }
}
