//! What was changed within the last hour, as budgets and policies count it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use remit_gate::Pattern;
use remit_journal::{Reader, Spent};
use remit_policy::PolicyRequest;

use super::Powers;
use crate::Error;

/// The time over which every budget is counted.
pub(super) const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Which runs count, and against which budget.
pub(super) struct Counted<'a> {
    pub(super) requester: &'a str,
    pub(super) starter: &'a str,
    pub(super) action: &'a str,
    pub(super) powers: &'a Powers,
}

/// The kind and the first part of a path: `secret:prod`. Of a pattern that begins with a wildcard, everything.
fn prefix(target: &Pattern) -> &str {
    let text = target.as_str();
    let first = text.split('/').next().unwrap_or_default();
    if first.contains('*') { "" } else { first }
}

/// What live runs that started within the last hour changed, or still may.
pub(super) fn spent<T>(reader: &Reader, read: impl FnOnce(&Spent) -> T) -> Result<T, Error> {
    Ok(reader.spent(HOUR, read)?)
}

/// The policies' view of a start, with new counts of used budgets.
pub(super) fn with_spent(matter: PolicyRequest, spent: &Spent, of: &Counted<'_>) -> PolicyRequest {
    PolicyRequest {
        spent_by_requester: spent.by_principal(of.requester),
        spent_by_starter: spent.by_principal(of.starter),
        spent_by_action: spent.by_action(of.action),
        spent_by_prefix: spent_by_prefix(spent, of.powers),
        ..matter
    }
}

/// The most that was spent under the first part of the path of anything that may be touched.
pub(super) fn spent_by_prefix(spent: &Spent, powers: &Powers) -> u64 {
    let prefixes: BTreeSet<&str> = powers.touches().into_iter().map(prefix).collect();
    prefixes.into_iter().map(|prefix| spent.under(prefix)).max().unwrap_or(0)
}
