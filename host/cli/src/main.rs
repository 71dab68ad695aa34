//! The `remit` command: parses the command line, runs the command and returns its exit code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod commands;
#[cfg(test)]
mod documented;
mod id_token;
mod place;
mod print;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use commands::Command;
use place::Place;
use remit_lifecycle::Home;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// With many runs at once, glibc's allocator needs a sixth of a run's time: see docs/performance.md. C code, such as
/// SQLite, still uses the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Run approved repairs: inspect, plan, request, approve, run, verify, revert, audit.
#[derive(Parser)]
#[command(name = "remit", version, arg_required_else_help = true, after_help = AFTER)]
struct Cli {
    /// The directory of the Remit home [default: ~/.remit].
    #[arg(long, global = true, env = "REMIT_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// Act through the server of this context, instead of at a home: `remit context`.
    #[arg(long, global = true, env = "REMIT_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// The format of the host's log on stderr.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    /// Log more: -v what happens, -vv every host call.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines of text.
    Text,
    /// One JSON object per event.
    Json,
}

const AFTER: &str = "\
Exit codes:
  0  done
  1  failed: the action, a system or a limit
  2  wrong input: option, file, configuration
  3  refused: identity, policy, approval, scope or plan
  4  the journal or sealed data is not what was written
  5  in doubt or held: a person must decide

A first repair:
  for name in publisher admin alice bot; do remit keys new --out $name; done
  remit init --log me.example/journal --publisher publisher.pub --admin admin.key --human alice.pub --agent bot.pub
  remit secret put app/db password --generate
  remit sign rotate-secret.wasm --key publisher.key
  remit inspect rotate-secret.wasm
  remit plan rotate-secret.wasm --input path=app/db
  remit request rotate-secret.wasm --input path=app/db --reason 'leaked' --key bot.key
  remit approve REQUEST --key alice.key
  remit run REQUEST --key bot.key";

fn main() -> ExitCode {
    if let Some(code) = remit_engine::serve(
        &[remit_sandbox::TASKS, remit_connector::component::TASKS].concat(),
        print::compiling,
    ) {
        return code;
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(print::usage(&error)),
    };
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "remit", &mut script);
        print::raw(&script);
        return ExitCode::from(u8::from(print::write_error().is_some()));
    }
    remit_trust::when_an_agent_waits(|| {
        print::warn("note: waiting for the ssh-agent: touch your key, or answer its question, if it has one");
    });
    // What a server does, nobody sees at a terminal.
    let serves = matches!(cli.command, Command::Serve(_));
    start_log(cli.log_format, cli.verbose.max(u8::from(serves)), serves);
    let place = match cli.context {
        Some(name) => Place::Context(name),
        None => Place::Home(home(cli.home)),
    };
    // A write beyond the file size limit (RLIMIT_FSIZE) then returns an error and does not end this process. Programs
    // that this process starts get the default signal handling again.
    let limit = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::<AtomicBool>::default());
    if let Err(error) = limit {
        print::warn(&format!(
            "note: a write beyond the file size limit (ulimit -f) would end this process: {error}"
        ));
    }
    // One thread for the run, and one for effects: an effect continues to its end while the guest computes.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::warn(&format!("error: threads could not be started: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = match runtime.block_on(cli.command.run(place)) {
        Ok(code) => code,
        Err(error) => print::error(&*error),
    };
    match print::write_error() {
        Some(why) if code == 0 => {
            print::warn(&format!(
                "error: the command is finished, but its output could not be written: {why}"
            ));
            ExitCode::from(1)
        }
        _ => ExitCode::from(code),
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let read = || Cli::from_arg_matches(&without_empty(Cli::command()).try_get_matches()?);
    read().map_err(|error| error.format(&mut Cli::command()))
}

/// Treats empty environment variables as unset, for every option of every command.
fn without_empty(command: clap::Command) -> clap::Command {
    let unset = |arg: clap::Arg| match arg.get_env() {
        Some(name) if remit_text::env::is_empty(name) => arg.env(None::<&str>),
        _ => arg,
    };
    command.mut_args(unset).mut_subcommands(without_empty)
}

/// The home that was named, or `~/.remit`. Never the current folder: its files would decide who may do what.
fn home(named: Option<PathBuf>) -> Home {
    let own = remit_text::env::var("HOME");
    match named.or_else(|| own.map(|own| PathBuf::from(own).join(".remit"))) {
        Some(home) => Home::at(&home),
        None => Home::none("HOME is not set"),
    }
}

/// Sends the log to stderr. Stdout is for the command's output.
fn start_log(format: LogFormat, verbose: u8, serves: bool) {
    let level = ["error", "info", "debug"][usize::from(verbose.min(2))];
    let filter = tracing_subscriber::EnvFilter::new(format!("error,remit={level}"));
    let events = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let events = match format {
        LogFormat::Text => events.with_ansi(print::colour(&std::io::stderr())).boxed(),
        LogFormat::Json => events.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(events.with_filter(filter))
        .with(serves.then(remit_server::traces))
        .init();
}
