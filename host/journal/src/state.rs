//! The states of a run, and which may follow which. The one table: the docs, the recovery and the audit
//! follow it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state a run is in when the host lets go of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It did what was asked and every check agreed.
    Succeeded,
    /// It failed; nothing of it stands.
    Failed,
    /// It was refused (grant, scope, plan or limit); it had changed nothing.
    Refused,
    /// Its changes were taken back.
    Reverted,
    /// It failed, was refused or was reverted in part; changes of it stand, as the scope or an undo
    /// conflict demands. A person decides.
    Held,
    /// Whether a change happened is not known. A person must look.
    InDoubt,
    /// A rehearsal came to its end.
    Rehearsed,
}

impl RunState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Failed,
        Self::Refused,
        Self::Reverted,
        Self::Held,
        Self::InDoubt,
        Self::Rehearsed,
    ];

    /// The name, as in the serialised form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Reverted => "reverted",
            Self::Held => "held",
            Self::InDoubt => "in-doubt",
            Self::Rehearsed => "rehearsed",
        }
    }

    /// The states a run in this one can come to next: by a revert, a recovery of it, or a person's word
    /// about a call in doubt. A run that is still going can come to any.
    #[must_use]
    pub fn next(self) -> &'static [Self] {
        match self {
            // A revert of these takes back, or finds that it cannot.
            Self::Succeeded | Self::Reverted | Self::Held => &[Self::Reverted, Self::Held, Self::InDoubt],
            // Someone's word may also be that nothing ever happened.
            Self::InDoubt => &[Self::Failed, Self::Reverted, Self::Held, Self::InDoubt],
            // Nothing was changed, so there is nothing to do.
            Self::Failed | Self::Refused | Self::Rehearsed => &[],
        }
    }

    /// Whether a person must decide.
    #[must_use]
    pub fn needs_a_person(self) -> bool {
        matches!(self, Self::Held | Self::InDoubt)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
