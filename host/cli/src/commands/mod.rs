//! The commands, one file each.

mod approve;
mod audit;
mod build;
mod common;
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
mod recovery;
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
mod signing;
mod status;
mod test;

use clap::Subcommand;
use remit_lifecycle::Home;

use common::Done;

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
            // Of the whole command line: see `main`.
            Self::Completions { .. } => Ok(2),
        }
    }
}
