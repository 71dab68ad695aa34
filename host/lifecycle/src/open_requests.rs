//! The requests that are not over, found without loading those that are: of some thousands, a few are open.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use jiff::Timestamp;
use remit_journal::{About, LedgerEvent, Reader, RequestId};
use remit_trust::Digest;

use crate::authority::{claimed, may_be_valid};
use crate::{Error, Host, Request, Rules};

/// What a request says of its own end. It never changes, so it is read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    digest: Digest,
    not_after: Timestamp,
    uses: Option<u32>,
    rules: Digest,
}

impl Ends {
    /// Nobody has checked who signed it: whoever takes a request for open loads it.
    fn read(reader: &Reader, id: RequestId) -> Result<Option<Self>, Error> {
        let acts = reader.acts(About::Request(id))?;
        let Some((_, act)) = acts.first() else { return Ok(None) };
        let LedgerEvent::Requested(statement) = &act.event else { return Ok(None) };
        Ok(claimed::<Request>(&statement.document).map(|(request, digest)| Self {
            digest,
            not_after: request.not_after,
            uses: request.uses,
            rules: request.rules,
        }))
    }
}

impl Host {
    /// The requests that may wait for approvals or give authority, the newest first. Whether one does is known when it is loaded:
    /// only its denial, its time, its runs and the rules are looked at here.
    pub fn open_requests(&self, reader: &Reader, rules: &Rules) -> Result<Vec<RequestId>, Error> {
        let now = Timestamp::now();
        let closed: HashSet<RequestId> = reader.closed_requests()?.into_iter().collect();
        let mut known: HashMap<RequestId, Ends> = HashMap::new();
        // Those that are too old to be valid are forgotten by not being kept.
        let before = std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner));
        let mut open = Vec::new();
        for id in reader.requests()?.into_iter().rev() {
            if !may_be_valid(id, now) {
                break;
            }
            if closed.contains(&id) {
                continue;
            }
            let ends = match before.get(&id) {
                Some(ends) => Some(*ends),
                None => Ends::read(reader, id)?,
            };
            // One that cannot be read gives no authority.
            let Some(ends) = ends else { continue };
            known.insert(id, ends);
            if ends.not_after <= now || ends.rules != rules.digest {
                continue;
            }
            if ends.uses.is_some_and(|uses| reader.grant_uses(&ends.digest).is_ok_and(|used| used >= uses)) {
                continue;
            }
            open.push(id);
        }
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(open)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::testing::{POLICY, Place};

    #[test]
    fn what_is_over_is_not_among_the_open_ones_and_what_is_not_is() {
        let place = Place::new(POLICY);
        let open = || place.host.open_requests(&place.reader(), &place.rules()).unwrap();
        assert_eq!(open(), []);
        let ask = |change: &dyn Fn(&mut Request)| {
            let mut request = place.request();
            change(&mut request);
            place.file("bot", &request)
        };
        let [waits, denied, voided, used] = [(); 4].map(|()| ask(&|_| {}));
        let twice = ask(&|request| request.uses = Some(2));
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        ask(&|request| request.not_after = past);
        ask(&|request| request.rules = Digest::of(b"other rules"));
        let standing = place.file("bot", &place.standing());
        let newest_first = |mut all: Vec<RequestId>| {
            all.sort_by(|one, other| other.cmp(one));
            all
        };
        assert_eq!(open(), newest_first(vec![waits, denied, voided, used, twice, standing]));

        place.put(
            About::Request(denied),
            LedgerEvent::RequestDenied(place.statement("alice", &place.approval(denied, "alice"))),
        );
        place.put(
            About::Request(voided),
            LedgerEvent::Voided { why: "it does something else now".to_owned() },
        );
        for id in [used, twice] {
            place.approve(id, "alice", |_| {});
            place.run(id, &[], |_, _| {});
        }
        assert_eq!(open(), newest_first(vec![waits, twice, standing]));
        // With other rules none of them gives authority.
        place.spare_key("");
        assert_eq!(open(), []);
    }
}
