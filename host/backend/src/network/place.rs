//! What a place with workloads can do.

use remit_gate::{Authority, Failure};
use remit_journal::RunId;
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::secrets::BoxFuture;

/// The kind of every resource served here: `workload:main/uid/1000`.
pub const KIND: &str = "workload";

/// The traffic of a workload that is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What [`Draft::rules`] was, if nobody changed anything since.
    pub rules: Digest,
    /// The run whose rules they are; none if they do not say.
    pub run: Option<RunId>,
    /// How many packets were refused since.
    pub refused: u64,
}

/// A cut before it is made, and what it is recognised by afterwards. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The number of the network namespace in which the rules are.
    pub namespace: u64,
    /// The number of the control group that is cut; another one of the same path has another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<u64>,
    /// The table of rules, which there was not before.
    pub table: String,
    /// What is let through all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// The digest of the rules, as the system shows them.
    pub rules: Digest,
}

/// One TCP connection, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connection {
    /// Its own end.
    pub local: String,
    /// The other end.
    pub remote: String,
    /// Its state, such as `established`.
    pub state: String,
}

/// What can be seen of a place. Nothing here changes anything: a rehearsal is given this, and no [`Traffic`].
///
/// Every method may fail with `Denied` (the host may not do this), `NotFound` (there is no such workload) or `Unavailable`,
/// besides what it says itself.
pub trait TrafficView: Send + Sync {
    /// How the traffic of a workload is cut; none if it is not.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Cut>>;

    /// The same where a draft says: the workload may be gone, and its name another one's. None if the rules are gone, with the
    /// namespace or without.
    fn look_again<'a>(&'a self, draft: &'a Draft) -> BoxFuture<'a, Option<Cut>>;

    /// A cut of a workload. `Denied` if the configuration does not list the workload, or if the host would cut itself off.
    fn draft<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Draft>;

    /// The TCP connections that a workload has with others, in order. `Invalid` of a workload whose connections cannot be told.
    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Vec<Connection>>;

    /// Whether the place can be used right now; says what it is and what the host may do, in a line for a person.
    fn check(&self) -> BoxFuture<'_, String>;
}

/// A place whose traffic can be cut. After `Unavailable` the change may have happened.
pub trait Traffic: TrafficView {
    /// Makes a cut for a run, which its rules name. `Conflict` if there is one already.
    fn cut<'a>(
        &'a self,
        target: &'a Target,
        draft: &'a Draft,
        run: RunId,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()>;

    /// Takes the cut of a run away. `Conflict` if it is not as the draft has it, or another run's.
    fn restore<'a>(&'a self, draft: &'a Draft, run: RunId, by: Authority<'a>) -> BoxFuture<'a, ()>;
}

/// Why a workload cannot be cut again.
pub(super) fn cut_already(target: &Target, cut: &Cut) -> Failure {
    Failure::Conflict(match &cut.run {
        Some(run) => format!("{target} is cut already, by the run {run}"),
        None => format!("{target} is cut already, by rules that name no run"),
    })
}

/// How live rules differ from those that a run made of a draft; none if they do not.
#[must_use]
pub fn apart(cut: &Cut, draft: &Draft, run: RunId) -> Option<String> {
    if cut.run != Some(run) {
        Some(format!("the table {} is not this run's", draft.table))
    } else if cut.rules != draft.rules {
        Some(format!("somebody changed the rules of the table {}", draft.table))
    } else {
        None
    }
}
