//! The commands, one file each.

mod approve;
mod audit;
mod build;
mod doctor;
mod init;
mod inspect;
mod install;
mod journal;
mod keys;
mod listing;
mod new;
mod notify;
mod plan;
mod recover;
mod replay;
mod request;
mod requests;
mod revert;
mod revoke;
mod rules;
mod run;
mod runs;
mod secret;
mod show;
mod sign;
mod status;
mod test;

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Subcommand};
use miette::Diagnostic;
use remit_file::{Kind, Wrote};
use remit_lifecycle::{Actor, Error, Home, Host, Identity, Input, Rules};
use remit_sandbox::{Candidate, Inspection};
use remit_trust::Signer;

use crate::print;

/// What a command returns: an exit code, or an error that knows its own.
pub(crate) type Done<T = u8> = Result<T, Box<dyn Diagnostic + Send + Sync>>;

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a home: configuration, the host's keys, an empty journal.
    Init(init::Init),
    /// Check configuration, keys, backends and journal; say what to fix.
    Doctor(doctor::Doctor),
    /// Begin an action: a small project that builds and has a test.
    New(new::New),
    /// Build an action, in whatever language, to a component.
    Build(build::Build),
    /// Try an action offline: given this estate and this input, expect these operations.
    Test(test::Test),
    /// Make signing keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Sign an action; the signature goes beside it.
    Sign(sign::Sign),
    /// Tell what a component could do, without running it.
    Inspect(inspect::Inspect),
    /// Compile a signed action ahead of its first use.
    Install(install::Install),
    /// Rehearse an action: what it would do, step by step.
    Plan(plan::Plan),
    /// Ask for authority: to run exactly what a rehearsal shows.
    Request(request::Request),
    /// List the requests that wait or may be used.
    Requests(requests::Requests),
    /// Approve a request: exactly that one.
    Approve(approve::Approve),
    /// Deny a request.
    Deny(approve::Deny),
    /// Run what was asked for and approved.
    Run(run::Run),
    /// Take authority away.
    Revoke(revoke::Revoke),
    /// Stop everything.
    Freeze(revoke::Freeze),
    /// Let it go on.
    Unfreeze(revoke::Freeze),
    /// Close the book on a run that went without the usual policy.
    Review(revoke::Review),
    /// The rules: principals and policies, as an administrator signed them.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// List the principals and their keys.
    Principals(rules::Principals),
    /// Check, try and explain policies.
    #[command(subcommand)]
    Policy(rules::Policy),
    /// How the host stands: frozen or not, what waits for whom, what goes on, what ends soon.
    Status(status::Status),
    /// List runs.
    Runs(runs::Runs),
    /// Tell the story of one run.
    Show(show::Show),
    /// Take a run back.
    Revert(revert::Revert),
    /// Bring every run whose host was killed to a named state.
    Recover(recover::Recover),
    /// Say what became of a call in doubt, where only a person can tell.
    Resolve(recover::Resolve),
    /// Run a recorded action again against its record, touching nothing.
    Replay(replay::Replay),
    /// Tell everyone what they have not been told yet.
    Notify(notify::Notify),
    /// Prove that the journal is what was written.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look after the keys to what is sealed in the journal.
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Look after the embedded secret store, as its owner.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Print shell completions.
    #[command(
        after_help = "Example:\n  remit completions bash > ~/.local/share/bash-completion/completions/remit"
    )]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Does it.
    pub(crate) async fn run(self, home: Home) -> Done {
        match self {
            Self::Init(command) => command.run(&home),
            Self::Doctor(command) => command.run(&home).await,
            Self::New(command) => command.run(),
            Self::Build(command) => command.run(),
            Self::Test(command) => command.run().await,
            Self::Keys(command) => command.run(),
            Self::Sign(command) => command.run(),
            Self::Inspect(command) => command.run(&home),
            Self::Install(command) => command.run(&home),
            Self::Plan(command) => command.run(&home).await,
            Self::Request(command) => command.run(&home).await,
            Self::Requests(command) => command.run(&home).await,
            Self::Approve(command) => command.run(&home).await,
            Self::Deny(command) => command.run(&home).await,
            Self::Revoke(command) => command.run(&home).await,
            Self::Freeze(command) => command.run(&home, true).await,
            Self::Unfreeze(command) => command.run(&home, false).await,
            Self::Review(command) => command.run(&home).await,
            Self::Rules(command) => command.run(&home),
            Self::Principals(command) => command.run(&home),
            Self::Policy(command) => command.run(&home),
            Self::Run(command) => command.run(&home).await,
            Self::Status(command) => command.run(&home).await,
            Self::Runs(command) => command.run(&home).await,
            Self::Show(command) => command.run(&home),
            Self::Revert(command) => command.run(&home).await,
            Self::Recover(command) => command.run(&home).await,
            Self::Resolve(command) => command.run(&home).await,
            Self::Replay(command) => command.run(&home).await,
            Self::Notify(command) => command.run(&home).await,
            Self::Journal(command) => command.run(&home).await,
            Self::Audit(command) => command.run(&home).await,
            Self::Secret(command) => command.run(&home).await,
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut crate::Cli::command(), "remit", &mut script);
                print::raw(&script);
                Ok(0)
            }
        }
    }
}

/// Opens a home to act in. Runs that a killed host left there are recovered first.
pub(crate) async fn open(home: &Home) -> Result<Host, Error> {
    recovered(home.open()?).await
}

/// The same, to act with this action: if it must be compiled first, the home is opened afterwards.
pub(crate) async fn open_for(home: &Home, action: &Candidate) -> Result<Host, Error> {
    recovered(home.open_for(action)?).await
}

async fn recovered(host: Host) -> Result<Host, Error> {
    let recovery = remit_lifecycle::recover(&host).await?;
    recover::stuck(&recovery);
    for run in recovery.recovered {
        if recover::warn(&run) == 0 {
            print::warn(&format!("note: {}, left by a host that was stopped, is {} now", run.run, run.state));
        }
    }
    Ok(host)
}

/// Whoever acts proves to be a principal by its key.
#[derive(Args)]
pub(crate) struct Key {
    /// Your private key: PEM or OpenSSH; or an SSH public key, for the ssh-agent.
    #[arg(long, env = "REMIT_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Key {
    fn signer(&self) -> Done<Option<Signer>> {
        Ok(self.key.as_deref().map(Signer::load).transpose()?)
    }

    /// The rules in force, and who holds the key.
    pub(crate) fn identify(&self, home: &Home) -> Done<(Rules, Identity)> {
        let rules = home.rules()?;
        let Some(signer) = self.signer()? else {
            return Err(usage(
                "no key was given, so that nobody knows who acts".to_owned(),
                "name yours with --key, or in REMIT_KEY",
            ));
        };
        let identity = rules.identify(signer)?;
        Ok((rules, identity))
    }

    /// Who acts on a run that is over.
    pub(crate) fn actor(&self, home: &Home) -> Done<Actor> {
        Ok(home.actor(self.signer()?)?)
    }
}

/// Tells once what there is to tell, after a command that acted. What fails waits for `remit notify`.
pub(crate) async fn told(host: &Host) {
    match remit_lifecycle::notify(host, std::time::Duration::from_secs(2)).await {
        Ok(delivery) => {
            for error in delivery.failed {
                print::warn(&format!("note: {error}; `remit notify` tries again"));
            }
        }
        Err(error) => print::warn(&format!("note: nobody could be told: {error}")),
    }
}

/// What `--input` takes, once or, as pairs, several times.
pub(crate) const INPUT: &str = "JSON|@FILE|-|KEY=VALUE";

/// Reads `--input`: JSON itself, `@FILE` or a file, `-` for standard input, or pairs.
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

/// `KEY=VALUE`, and not the name of a file.
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

/// A mistake in what was asked, with the next step.
pub(crate) fn usage(what: String, help: &str) -> Box<dyn Diagnostic + Send + Sync> {
    Box::new(miette::MietteDiagnostic::new(what).with_code("usage::argument").with_help(help))
}

/// Reads a text that a person named: a file, a pipe, or `-`.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<String, Error> {
    Ok(remit_file::given(path, kind)?.into_text()?)
}

/// Writes what a person asked for. Where it went into a file, that is worth telling.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<Wrote, Error> {
    Ok(remit_file::write(path, text.as_ref())?)
}
