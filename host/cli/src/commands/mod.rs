//! The commands, one file each.

mod approve;
mod audit;
mod build;
pub(crate) mod common;
mod connector;
mod context;
mod doctor;
mod extend;
mod init;
mod inspect;
mod install;
mod journal;
mod keys;
mod listing;
mod mcp;
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
mod sealed;
mod secret;
mod serve;
mod show;
mod sign;
mod signing;
mod status;
mod test;

use clap::Subcommand;

use crate::place::Place;
use common::Done;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a home: configuration, the host's keys, an empty journal.
    Init(init::Init),
    /// Check configuration, keys, backends and journal; say what to fix.
    Doctor(doctor::Doctor),
    /// Create a project for an action. It builds and has a test.
    New(new::New),
    /// Build an action's component from its sources.
    Build(build::Build),
    /// Test an action or a connector offline, with systems that the tests describe.
    Test(Box<test::Test>),
    /// Work on connectors: components that serve an interface for one system with an HTTP API.
    #[command(subcommand)]
    Connector(connector::Connector),
    /// Create signing keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Sign an action. The signature is written beside it.
    Sign(sign::Sign),
    /// Show what a component could do, without running it.
    Inspect(inspect::Inspect),
    /// Compile a signed action before its first use.
    Install(install::Install),
    /// Rehearse an action: show what it would do, step by step.
    Plan(plan::Plan),
    /// Request authority to run exactly what a rehearsal shows.
    Request(request::Request),
    /// List the requests that wait for approval or can be used.
    Requests(requests::Requests),
    /// Approve a request.
    Approve(approve::Approve),
    /// Deny a request.
    Deny(approve::Deny),
    /// Run an approved request.
    Run(run::Run),
    /// Revoke authority.
    Revoke(revoke::Revoke),
    /// Stop every run. None can start until `remit unfreeze`.
    Freeze(revoke::Freeze),
    /// Let runs start again.
    Unfreeze(revoke::Freeze),
    /// Mark a break-glass run as reviewed.
    Review(revoke::Review),
    /// Check and sign the rules: principals and policies.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// List the principals and their keys.
    Principals(rules::Principals),
    /// Check, test and explain policies.
    #[command(subcommand)]
    Policy(rules::Policy),
    /// Serve the home over HTTP: others prepare, sign and submit from their own machines.
    Serve(serve::Serve),
    /// Give an agent its tools, over the Model Context Protocol.
    Mcp(mcp::Mcp),
    /// Servers that commands can act through.
    #[command(subcommand)]
    Context(context::Context),
    /// Show the state of the host: frozen or not, who may approve what, what is running, what ends soon.
    Status(status::Status),
    /// List runs.
    Runs(runs::Runs),
    /// Show what happened in one run.
    Show(show::Show),
    /// Undo the changes of a run.
    Revert(revert::Revert),
    /// Let the changes of a run stand for longer, before the host undoes them by itself.
    Extend(extend::Extend),
    /// Recover every run whose host was killed.
    Recover(recover::Recover),
    /// State whether a call in doubt took effect, where only a person can know it.
    Resolve(recover::Resolve),
    /// Run a recorded action again against its records, without touching any system.
    Replay(replay::Replay),
    /// Send the events that notifiers have not received yet.
    Notify(notify::Notify),
    /// Check the journal, and prove to others what it says.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Replace or delete the keys of sealed data in the journal.
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Set and show the secrets of the embedded store.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Print shell completions.
    #[command(
        after_help = "Example:\n  remit completions bash > ~/.local/share/bash-completion/completions/remit"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    pub(crate) async fn run(self, place: Place) -> Done {
        match self {
            // These act at a home or through a server.
            Self::Inspect(command) => command.run(&place),
            Self::Plan(command) => command.run(&place).await,
            Self::Status(command) => command.run(&place).await,
            Self::Extend(command) => command.run(&place).await,
            Self::Policy(command) => command.run(&place),
            Self::Request(command) => Box::pin(command.run(&place)).await,
            Self::Requests(command) => command.run(&place).await,
            Self::Approve(command) => command.run(&place).await,
            Self::Deny(command) => command.run(&place).await,
            Self::Run(command) => command.run(&place).await,
            Self::Runs(command) => command.run(&place).await,
            Self::Show(command) => command.run(&place),
            Self::Revert(command) => command.run(&place).await,
            Self::Revoke(command) => command.run(&place).await,
            Self::Freeze(command) => command.run(&place, true).await,
            Self::Unfreeze(command) => command.run(&place, false).await,
            Self::Review(command) => command.run(&place).await,
            Self::Mcp(command) => command.run(&place).await,
            // These need neither.
            Self::Context(command) => command.run(),
            Self::New(command) => command.run(),
            Self::Build(command) => command.run(),
            Self::Test(command) => command.run().await,
            Self::Connector(command) => command.run().await,
            Self::Keys(command) => command.run(),
            Self::Sign(command) => command.run(),
            // `main` handles it, because it needs the whole command line.
            Self::Completions { .. } => Ok(2),
            // These act at a home.
            Self::Init(command) => command.run(place.home()?),
            Self::Doctor(command) => command.run(place.home()?).await,
            Self::Install(command) => command.run(place.home()?),
            Self::Rules(command) => command.run(place.home()?),
            Self::Principals(command) => command.run(&place),
            Self::Serve(command) => command.run(place.home()?).await,
            Self::Recover(command) => command.run(place.home()?).await,
            Self::Resolve(command) => command.run(&place).await,
            Self::Replay(command) => command.run(place.home()?).await,
            Self::Notify(command) => command.run(place.home()?).await,
            Self::Journal(command) => command.run(place.home()?).await,
            Self::Audit(command) => command.run(place.home()?).await,
            Self::Secret(command) => command.run(place.home()?).await,
        }
    }
}
