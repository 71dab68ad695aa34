//! The requests that are not over, found without loading those that are: of some thousands, a few are open.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use remit_journal::{About, LedgerEvent, Reader, RequestId};
use remit_trust::{Digest, Handle};

use crate::authority::{claimed, may_be_valid};
use crate::{Error, Host, Request, Rules};

/// What a request states of its own end, and of what it is to use. It never changes, so it is read once.
#[derive(Debug)]
pub(crate) struct Stated {
    digest: Digest,
    not_after: Timestamp,
    uses: Option<u32>,
    rules: Digest,
    /// The sealed inputs that it names.
    pub(crate) sealed: Vec<Handle>,
}

impl Stated {
    /// Nobody has checked who signed it: whoever takes a request for open loads it.
    fn read(reader: &Reader, id: RequestId) -> Result<Option<Self>, Error> {
        let acts = reader.acts(About::Request(id))?;
        let Some((_, act)) = acts.first() else { return Ok(None) };
        let LedgerEvent::Requested(statement) = &act.event else { return Ok(None) };
        Ok(claimed::<Request>(&statement.document).map(|(request, digest)| Self {
            sealed: request.sealed_inputs(),
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
        let open = self.stated(reader)?.into_iter().filter(|(id, stated)| {
            let used_up = |uses| reader.grant_uses(&stated.digest).is_ok_and(|used| used >= uses);
            !closed.contains(id)
                && stated.not_after > now
                && stated.rules == rules.digest
                && !stated.uses.is_some_and(used_up)
        });
        Ok(open.map(|(id, _)| id).collect())
    }

    /// What each request states that is not too old to be valid, the newest first. One that cannot be read gives no authority,
    /// and is left out.
    pub(crate) fn stated(&self, reader: &Reader) -> Result<Vec<(RequestId, Arc<Stated>)>, Error> {
        let now = Timestamp::now();
        // Those that are too old are forgotten by not being kept.
        let before = std::mem::take(&mut *self.stated.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all = Vec::new();
        for id in reader.requests()?.into_iter().rev().take_while(|id| may_be_valid(*id, now)) {
            let stated = match before.get(&id) {
                Some(stated) => Some(Arc::clone(stated)),
                None => Stated::read(reader, id)?.map(Arc::new),
            };
            all.extend(stated.map(|stated| (id, stated)));
        }
        *self.stated.lock().unwrap_or_else(PoisonError::into_inner) = all.iter().cloned().collect();
        Ok(all)
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
