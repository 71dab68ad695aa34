//! Messages about recovered runs.

use remit_journal::{RunId, RunState};
use remit_lifecycle::{Recovered, Recovery};

use crate::print;

/// Prints an error for each run that could not be recovered. Returns the highest exit code.
pub(crate) fn stuck(recovery: &Recovery) -> u8 {
    let codes = recovery.stuck.iter().map(|(run, error)| {
        print::warn(&format!("error: {run} could not be recovered"));
        print::error(error)
    });
    codes.max().unwrap_or(0)
}

/// Prints an error if a person must decide about the run. Returns the exit code.
pub(crate) fn warn(run: &Recovered) -> u8 {
    if !run.state.needs_a_person() {
        return 0;
    }
    let next = next_step(run.run, run.state);
    print::warn(&format!("error: {} is {}: {}\n help: {next}", run.run, run.state, print::word(&run.detail)));
    5
}

/// What a person must do about a run that is held or in doubt.
pub(crate) fn next_step(run: RunId, state: RunState) -> String {
    match state {
        RunState::InDoubt => {
            format!(
                "it is not known what the run changed: look at the live system; then `remit resolve {run}` or `remit revert {run}`"
            )
        }
        _ => format!("look at its changes (`remit show {run}`); then keep or `remit revert` them"),
    }
}
