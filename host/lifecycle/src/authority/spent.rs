//! How many changes were made within the past hour, as budgets and policies count them.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use remit_gate::Pattern;
use remit_journal::{Reader, Spent};
use remit_policy::PolicyRequest;

use super::Powers;
use crate::Error;

/// The time over which every budget is counted.
pub(super) const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The names under which the changes of a start are counted, and its powers.
pub(crate) struct Counted<'a> {
    pub(crate) requester: &'a str,
    pub(crate) starter: &'a str,
    pub(crate) action: &'a str,
    pub(crate) powers: &'a Powers,
}

/// The kind and the first part of a path, such as `secret:prod`; empty for a pattern that begins with a wildcard, because
/// it can match any path.
fn prefix(target: &Pattern) -> &str {
    let text = target.as_str();
    let first = text.split('/').next().unwrap_or_default();
    if first.contains('*') { "" } else { first }
}

/// Reads the changes that live runs made within the past hour, or may still make.
pub(super) fn spent<T>(reader: &Reader, read: impl FnOnce(&Spent) -> T) -> Result<T, Error> {
    Ok(reader.spent(HOUR, read)?)
}

/// The policy request of a start with these counts of changes instead of its own.
pub(super) fn with_spent(request: PolicyRequest, spent: &Spent, of: &Counted<'_>) -> PolicyRequest {
    PolicyRequest {
        spent_by_requester: spent.by_principal(of.requester),
        spent_by_starter: spent.by_principal(of.starter),
        spent_by_action: spent.by_action(of.action),
        spent_by_prefix: spent_by_prefix(spent, of.powers),
        ..request
    }
}

/// The changes under each prefix that the powers can change, and of these numbers the largest.
pub(super) fn spent_by_prefix(spent: &Spent, powers: &Powers) -> u64 {
    let prefixes: BTreeSet<&str> = powers.touches().into_iter().map(prefix).collect();
    prefixes.into_iter().map(|prefix| spent.under(prefix)).max().unwrap_or(0)
}
