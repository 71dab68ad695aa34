//! How `nft` is run: in a namespace, with a time limit, without a shell, and never for longer than the host lives.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use remit_gate::Failure;
use remit_program::{Broke, Program};

use super::namespace::Namespace;
use super::rules::Listed;

/// The most that is taken of what it writes: the rules of a machine, or what the kernel knows of its connections.
const MAX_OUTPUT: usize = 64 * 1024 * 1024;

/// The program, and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Nft {
    pub(crate) program: PathBuf,
    pub(crate) time_limit: Duration,
}

/// In which network namespace a program is run.
#[derive(Clone, Copy)]
pub(crate) enum Within<'a> {
    This(&'a Namespace),
    /// In one that is made for it and gone with it.
    New,
}

impl Nft {
    /// The version, in one line.
    pub(super) async fn version(&self) -> Result<String, Failure> {
        let output = self.spawn(&[], &["--version"]).await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The table of this name; none if there is none.
    pub(super) async fn list(&self, within: Within<'_>, table: &str) -> Result<Option<Listed>, Failure> {
        let output = self.run(within, &["-j", "list", "table", "inet", table]).await?;
        if output.status.success() {
            return Listed::read(&output.stdout).map(Some);
        }
        let told = told(&output);
        if told.starts_with("Error: No such file or directory") { Ok(None) } else { Err(refused(&told)) }
    }

    /// What a table would look like, of its text. It is tried in a namespace that nobody else is in.
    pub(super) async fn tried(&self, text: &str) -> Result<Listed, Failure> {
        let output = self.run(Within::New, &["-j", "-e", text]).await?;
        if output.status.success() { Listed::read(&output.stdout) } else { Err(refused(&told(&output))) }
    }

    /// Makes a table, in one transaction. `Conflict` if there is one of its name.
    pub(super) async fn make(&self, within: Within<'_>, text: &str) -> Result<(), Failure> {
        let output = self.run(within, &[text]).await?;
        done(&output, "made")
    }

    /// Deletes the table with this handle, which no other table ever had.
    pub(super) async fn delete(&self, within: Within<'_>, handle: u64) -> Result<(), Failure> {
        let output = self.run(within, &["delete", "table", "inet", "handle", &handle.to_string()]).await?;
        done(&output, "deleted")
    }

    /// Runs `nft` in a namespace.
    async fn run(&self, within: Within<'_>, arguments: &[&str]) -> Result<Output, Failure> {
        let enter = match within {
            Within::This(namespace) => ["nsenter".to_owned(), format!("--net={}", namespace.path())],
            Within::New => ["unshare".to_owned(), "--net".to_owned()],
        };
        self.spawn(&enter, arguments).await
    }

    /// All rules that there are, in the language of `nft`.
    pub(crate) async fn rules(&self, within: Within<'_>) -> Result<Vec<u8>, Failure> {
        let output = self.run(within, &["list", "ruleset"]).await?;
        if output.status.success() { Ok(output.stdout) } else { Err(refused(&told(&output))) }
    }

    /// Reads files as they are in a namespace: those below `/proc/self`.
    pub(crate) async fn read(&self, within: Within<'_>, files: &[&str]) -> Result<Vec<u8>, Failure> {
        let reader = Self { program: "cat".into(), time_limit: self.time_limit };
        let output = reader.run(within, files).await?;
        // One of several may not be there: a kernel without IPv6 has no table of it.
        if output.status.success() || !output.stdout.is_empty() {
            Ok(output.stdout)
        } else {
            Err(refused(&told(&output)))
        }
    }

    /// What is to be done is an argument: there is no moment at which a part of it could be taken for the whole.
    async fn spawn(&self, enter: &[String], arguments: &[&str]) -> Result<Output, Failure> {
        let shown = self.program.display().to_string();
        let missing = |what: &str, why: &dyn std::fmt::Display| {
            Failure::Denied(format!(
                "{what} cannot be run: {why}; on Debian, the packages nftables and util-linux have what is needed"
            ))
        };
        if self.program.is_absolute() && !self.program.is_file() {
            return Err(missing(&shown, &"there is no such file"));
        }
        let words = enter.iter().map(OsString::from).chain([self.program.clone().into()]);
        let words = words.chain(arguments.iter().map(OsString::from));
        let program = Program::tethered(words).with("LC_ALL", "C").keeping(MAX_OUTPUT);
        let output = program.run(self.time_limit).await.map_err(|broke| match broke {
            Broke::NotStarted(error) => missing("setpriv", &error),
            broke => Failure::Unavailable(format!("{shown}: {broke}")),
        })?;
        match output.status.code() {
            None => Err(Failure::Unavailable(format!("{shown} was killed"))),
            // What `setpriv`, `nsenter` and `unshare` end with when there is no program.
            Some(126 | 127) => Err(missing(&shown, &told(&output))),
            Some(_) => Ok(output),
        }
    }
}

fn done(output: &Output, what: &str) -> Result<(), Failure> {
    if output.status.success() {
        return Ok(());
    }
    let told = told(output);
    if told.contains("File exists") {
        Err(Failure::Conflict("somebody else cut it in the meantime".to_owned()))
    } else if told.contains("No such file or directory") {
        Err(Failure::Conflict(format!("its table was not {what}: somebody else took it away")))
    } else {
        Err(refused(&told))
    }
}

/// The first line of what a program said is wrong.
fn told(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    remit_text::short_line(line, 200).into_owned()
}

/// A transaction that failed has changed nothing. It says something of the machine, and nothing of the workload.
fn refused(told: &str) -> Failure {
    let right = ["not permitted", "must be root", "Permission denied"].iter().any(|word| told.contains(word));
    let needs = if right { "; the host needs CAP_NET_ADMIN and CAP_SYS_ADMIN" } else { "" };
    Failure::Denied(format!("the kernel or nft refused it: {told}{needs}"))
}
