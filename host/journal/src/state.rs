//! The states of a run, and which may follow which. The docs, the recovery and the audit all follow this table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a run when the host has finished with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It did what was asked and every check agreed.
    Succeeded,
    /// It failed, and none of its changes is in effect.
    Failed,
    /// It was refused (grant, scope, plan or limit); it had changed nothing.
    Refused,
    /// Its changes were undone.
    Reverted,
    /// It failed, was refused or was reverted in part, and some of its changes are in effect, because the scope says so or an
    /// undo had a conflict. A person must decide.
    Held,
    /// It is not known whether a change happened. A person must find out.
    InDoubt,
    /// A rehearsal ended; nothing was changed.
    Rehearsed,
}

impl RunState {
    /// All states, in the order of their declaration.
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

    /// The states that can follow this one: by a revert, by a recovery, or because a person resolved a call in doubt. A run
    /// that is under way can reach any state.
    #[must_use]
    pub fn next(self) -> &'static [Self] {
        match self {
            // A revert undoes the changes, or finds that it cannot.
            Self::Succeeded | Self::Reverted | Self::Held => &[Self::Reverted, Self::Held, Self::InDoubt],
            // A person may also say that nothing ever happened.
            Self::InDoubt => &[Self::Failed, Self::Reverted, Self::Held, Self::InDoubt],
            // Nothing was changed, so there is nothing to revert.
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

#[cfg(test)]
mod tests {
    use super::RunState;

    #[test]
    fn the_docs_have_the_same_table() {
        let docs = include_str!("../../../docs/runs.md");
        let rows: Vec<(String, String)> = docs
            .lines()
            .skip_while(|line| !line.starts_with("| state |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
                (cells[0].to_owned(), cells[2].to_owned())
            })
            .collect();
        let table: Vec<(String, String)> = RunState::ALL
            .iter()
            .map(|state| {
                let next: Vec<&str> = state.next().iter().map(|state| state.name()).collect();
                (state.name().to_owned(), next.join(", "))
            })
            .collect();
        // Order within a cell is the docs' own.
        let sorted = |rows: Vec<(String, String)>| -> Vec<(String, Vec<String>)> {
            rows.into_iter()
                .map(|(state, next)| {
                    let mut next: Vec<String> = next.split(", ").map(str::to_owned).collect();
                    next.sort();
                    (state, next)
                })
                .collect()
        };
        assert_eq!(sorted(rows), sorted(table));
    }
}
