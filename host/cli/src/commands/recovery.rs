//! What a recovery came to, for whoever opened the home.

use remit_journal::{RunId, RunState};
use remit_lifecycle::{Recovered, Recovery};

use crate::print;

/// Tells of the runs that could not be recovered; the exit code of the gravest.
pub(crate) fn stuck(recovery: &Recovery) -> u8 {
    let codes = recovery.stuck.iter().map(|(run, error)| {
        print::warn(&format!("error: {run} could not be recovered"));
        print::error(error)
    });
    codes.max().unwrap_or(0)
}

/// Tells what a person must do, and the exit code that says so.
pub(crate) fn warn(run: &Recovered) -> u8 {
    if !run.state.needs_a_person() {
        return 0;
    }
    let next = next_step(run.run, run.state);
    print::warn(&format!("error: {} is {}: {}\n help: {next}", run.run, run.state, print::word(&run.detail)));
    5
}

/// What a person does about a run that is held or in doubt.
pub(crate) fn next_step(run: RunId, state: RunState) -> String {
    match state {
        RunState::InDoubt => {
            format!(
                "what there is now is not known: look at the live system; then `remit resolve {run}` or `remit revert {run}`"
            )
        }
        _ => format!("look at its changes (`remit show {run}`); then keep or `remit revert` them"),
    }
}
