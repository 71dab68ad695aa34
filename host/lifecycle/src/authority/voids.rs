//! What new rules end: every request names the rules it was made under, and is good under no others.

use jiff::Timestamp;
use remit_journal::{About, Basis, LedgerEvent, Reader, RequestId, RestsOn};
use remit_trust::Digest;
use serde::Serialize;

use super::documents::claimed;
use super::{Asks, Request};
use crate::{Error, Home};

/// A request that is open, and that new rules would void.
#[derive(Clone, Debug, Serialize)]
pub struct Ending {
    /// The request's identifier.
    pub request: RequestId,
    /// Whether it is a standing scope.
    pub standing: bool,
    /// The action that the request is for, and its version: `rotate-secret 0.1.0`.
    pub action: String,
    /// The name of the requester.
    pub by: String,
    /// The reason that the request states.
    pub reason: String,
    /// When the request would have expired.
    pub until: Timestamp,
}

impl Home {
    /// The open requests and standing scopes that are void once the rules with this digest are in force. Told from what they
    /// say of themselves: to warn of, not to go by.
    pub(super) fn voided_by(&self, new: Digest) -> Result<Vec<Ending>, Error> {
        match self.signed_digest()? {
            Some(old) if old != new && self.journal().exists() => open_under(&self.reader()?, old),
            _ => Ok(Vec::new()),
        }
    }
}

/// Every request made under these rules that gives authority or may yet.
fn open_under(reader: &Reader, rules: Digest) -> Result<Vec<Ending>, Error> {
    let mut open = Vec::new();
    for id in reader.requests()? {
        let acts = reader.acts(About::Request(id))?;
        let Some((seq, first)) = acts.first() else { continue };
        let LedgerEvent::Requested(statement) = &first.event else { continue };
        let Some((request, digest)) = claimed(&statement.document) else { continue };
        let closed = acts.iter().any(|(_, act)| {
            matches!(
                act.event,
                LedgerEvent::RequestDenied(_) | LedgerEvent::Voided { .. } | LedgerEvent::Expired
            )
        });
        let over = request.not_after <= Timestamp::now();
        if request.rules != rules || closed || over {
            continue;
        }
        let bases = [
            Basis::All,
            Basis::Request(id),
            Basis::Principal(statement.principal.clone()),
            Basis::Key(statement.key.clone()),
        ];
        let rests_on = bases.map(|basis| RestsOn { basis, since: *seq });
        if reader.struck(&rests_on)?.is_some() {
            continue;
        }
        if let Some(uses) = request.uses
            && reader.grant_uses(&digest)? >= uses
        {
            continue;
        }
        open.push(ending(&request));
    }
    Ok(open)
}

fn ending(request: &Request) -> Ending {
    Ending {
        request: request.id,
        standing: matches!(request.asks, Asks::Standing(_)),
        action: request.action_words(),
        by: request.requester.clone(),
        reason: request.reason.clone(),
        until: request.not_after,
    }
}
