//! Why a call of an action has no result.

use miette::Diagnostic;
use remit_capability::wasi::Exit;
use remit_engine::Halt;
use remit_gate::{Exceeded, Fault, Limit};
use wasmtime::Trap;

/// Why a call has no result.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Stop {
    /// The gate ended it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fault(Fault),
    /// A limit of the engine, or of input or output, was reached.
    #[error(transparent)]
    #[diagnostic(code(failed::limit), help("{}", limit_help(.0)))]
    Exceeded(Exceeded),
    /// `run` of the action returned an error.
    #[error("the action failed: {0}")]
    #[diagnostic(
        code(failed::action),
        help("the message is the action's own; `remit show RUN` tells what it did before")
    )]
    Failed(String),
    /// `verify` of the action returned an error: the repair was made and is not effective.
    #[error("verify failed: {0}")]
    #[diagnostic(
        code(failed::verify),
        help(
            "the message is from the action's own check, after its `run` had ended well; `remit show RUN` tells what it did"
        )
    )]
    Unverified(String),
    /// The machine has no room for the guest, and none of its code ran.
    #[error("{}{_0}", Self::NOT_STARTED)]
    #[diagnostic(
        code(failed::room),
        help(
            "the machine is short of memory, or a limit on addresses (`ulimit -v`, `LimitAS=`) leaves less than the \
             4 GiB that each memory of a guest is laid out in"
        )
    )]
    NotStarted(String),
    /// The guest crashed, for this reason.
    #[error("the action crashed: {0}")]
    #[diagnostic(
        code(failed::trap),
        help("report this to the action's author, with the run's log (`remit show RUN`)")
    )]
    Trapped(String),
    /// The action returned something that is not JSON.
    #[error("the action's output is not JSON: {0}")]
    #[diagnostic(code(failed::output), help("report this to the action's author"))]
    Output(String),
}

fn limit_help(exceeded: &Exceeded) -> &'static str {
    match exceeded.limit {
        Limit::Stack => {
            "the stack is the same for every run: report the endless recursion to the action's author"
        }
        _ => {
            "raise this limit in the scope and ask again (`remit request --scope`), if the action should need that much"
        }
    }
}

impl Stop {
    /// How the text of a [`Stop::NotStarted`] begins, in the journal too.
    pub const NOT_STARTED: &str = "the host has no room for the action: ";

    /// Whether the host refused, rather than the action or a system failing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| code.to_string().starts_with("refused"))
    }
}

impl Stop {
    /// Finds the cause of an error of a call: by type, never by text. `last_words` is what the guest said before it trapped,
    /// as after a panic.
    pub(crate) fn of(error: wasmtime::Error, meter: &remit_engine::Meter, last_words: Option<&str>) -> Self {
        let error = match error.downcast::<Fault>() {
            Ok(fault) => return Self::Fault(fault),
            Err(error) => error,
        };
        if let Some(exit) = error.downcast_ref::<Exit>() {
            return Self::Trapped(exit.to_string());
        }
        match Halt::of(error, meter) {
            Halt::Exceeded(exceeded) => Self::Exceeded(Exceeded {
                limit: match exceeded.limit {
                    remit_engine::Limit::Fuel => Limit::Fuel,
                    remit_engine::Limit::WallTime => Limit::WallTime,
                    remit_engine::Limit::Memory => Limit::Memory,
                    remit_engine::Limit::TableElements => Limit::TableElements,
                    remit_engine::Limit::Stack => Limit::Stack,
                },
                used: exceeded.used,
                allowed: exceeded.allowed,
            }),
            Halt::NotStarted(why) => Self::NotStarted(why),
            Halt::Trap(trap) => match last_words {
                Some(words) if trap == Trap::UnreachableCodeReached => Self::Trapped(words.to_owned()),
                _ => Self::Trapped(trap.to_string()),
            },
            Halt::Host(error) => Self::Trapped(format!("{error:#}")),
        }
    }
}
