//! What the record of a run shows about its authority, to someone who has nothing but that record and a key.

use std::path::Path;

use remit_journal::{Event, Proven, Record};
use remit_trust::VerifyingKey;

use super::documents::{Approval, open};
use super::{Asks, Request};
use crate::Error;

/// Checks that a proven run acted under a request that the holder of `approver` approved, and within it: this
/// action, this input, this scope, at this time.
pub fn check_authority(proven: &Proven, approver: &Path) -> Result<(), Error> {
    let refuse = |why: &str| {
        Err(Error::Unproven {
            why: why.to_owned(),
            help: "the proof does not show that this person allowed the run: ask for the key of the one who did",
        })
    };
    let Proven::Run { records, .. } = proven else {
        return refuse("this is not the proof of a run");
    };
    let Some((_, Record { event: Event::Started(started), at, .. })) = records.first() else {
        return refuse("its first record is missing");
    };
    let Some(grant) = &started.grant else {
        return refuse("the run has no authority on record");
    };
    let (Some(signed), Some(authority)) = (&grant.signed, &grant.authority) else {
        return refuse("the run was recorded by a version that kept no approvals");
    };
    let key = VerifyingKey::load(approver)?;
    let approval = authority
        .approvals
        .iter()
        .filter_map(|envelope| open::<Approval>(envelope, std::slice::from_ref(&key)).ok())
        .find(|approval| approval.document.approve && approval.document.request == grant.digest);
    if approval.is_none() {
        return refuse("no approval on record is by this key");
    }
    // The request is what the approval names by digest: whoever signed it, it is what was approved.
    let envelope: remit_trust::dsse::Envelope = serde_json::from_str(signed.envelope.get())?;
    let payload = envelope.payload_named(grant.digest).map_err(|error| Error::Unproven {
        why: format!("the request on record is not the one that was approved: {error}"),
        help: "distrust this record",
    })?;
    let request: Request = serde_json::from_slice(&payload)?;
    let same = match &request.asks {
        Asks::Run { action, input, .. } => {
            action.digest == started.action.digest
                && crate::Input::of(input)?.digest() == started.input_digest
                && request.scope.digest()? == started.scope_digest
        }
        // What ran is inside: the least scope of its plan.
        Asks::Standing(_) => true,
    };
    let in_time = (request.not_before..request.not_after).contains(at)
        && (request.not_before, request.not_after) == (signed.not_before, signed.not_after);
    if same && in_time { Ok(()) } else { refuse("the run is not what was approved") }
}
