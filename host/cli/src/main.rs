//! `remit`: one file per command; this one parses, runs and says how it went.
#![forbid(unsafe_code)]

mod commands;
mod print;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use commands::Command;

/// Runs repairs under authority: inspect, plan, request, approve, run, verify, revert, audit.
#[derive(Parser)]
#[command(name = "remit", version, arg_required_else_help = true, after_help = AFTER)]
struct Cli {
    /// The Remit home [default: ~/.remit].
    #[arg(long, global = true, env = "REMIT_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// How the host's own events are written to stderr.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    /// More of the host's own events: -v what happens, -vv every host call.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for a person.
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
    if let Some(code) = remit_sandbox::serve(print::compiling) {
        return code;
    }
    let cli = Cli::parse();
    observe(cli.log_format, cli.verbose);
    let home = cli.home.unwrap_or_else(|| {
        std::env::var_os("HOME")
            .map_or_else(|| PathBuf::from(".remit"), |home| PathBuf::from(home).join(".remit"))
    });
    // One thread beside this one: an effect goes on to its end there while the guest computes here.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::warn(&format!("error: no threads to run on: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = match runtime.block_on(cli.command.run(&home)) {
        Ok(code) => code,
        Err(error) => print::error(&*error),
    };
    match print::lost() {
        Some(why) if code == 0 => {
            print::warn(&format!("error: it is done, but the answer could not be written: {why}"));
            ExitCode::from(1)
        }
        _ => ExitCode::from(code),
    }
}

/// Events go to stderr: stdout is the command's answer.
fn observe(format: LogFormat, verbose: u8) {
    let level = ["error", "info", "debug"][usize::from(verbose.min(2))];
    let filter = tracing_subscriber::EnvFilter::new(format!("error,remit={level}"));
    let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => events.with_ansi(print::colour(&std::io::stderr())).init(),
        LogFormat::Json => events.json().init(),
    }
}
