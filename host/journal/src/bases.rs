//! What an audit knows about authority: which requests were made, and what was revoked.

use std::collections::{BTreeMap, HashMap, HashSet};

use remit_trust::dsse::Envelope;
use remit_trust::{Digest, VerifyingKey};
use rusqlite::Connection;

use crate::act::AuthorityChange;
use crate::passkeys::Counters;
use crate::{About, Act, AuditError, Basis, LedgerEvent, Reader, RequestId, RestsOn, Started, Withdrawn};

/// What the acts so far say.
#[derive(Default)]
pub(crate) struct Bases {
    requests: HashMap<RequestId, Digest>,
    /// For each basis, before which record number it gives no authority, and why.
    revoked: BTreeMap<Basis, (u64, String)>,
    /// The keys and tokens that acts are about.
    hashed: HashSet<About>,
    /// For each notifier, up to which record it delivered everything.
    notified: BTreeMap<String, u64>,
    /// How often passkeys signed.
    pub(crate) passkeys: Counters,
}

impl Bases {
    pub(crate) fn follow(&mut self, seq: u64, act: &Act) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        if let About::Request(request) = act.about {
            let known = self.requests.contains_key(&request);
            match &act.event {
                LedgerEvent::Requested(_) if known => return wrong("makes a request a second time"),
                LedgerEvent::Requested(statement) => {
                    let envelope: Result<Envelope, _> = serde_json::from_str(statement.document.get());
                    let Some(digest) = envelope.ok().and_then(|envelope| envelope.payload_digest().ok())
                    else {
                        return wrong("holds a request that cannot be read");
                    };
                    self.requests.insert(request, digest);
                }
                _ if !known => return wrong("is about a request that was never made"),
                _ => {}
            }
        }
        let fits = match &act.event {
            LedgerEvent::Certified(certified) => {
                let id =
                    VerifyingKey::from_text(&certified.certificate.key, "").map(|key| About::key(&key.id()));
                id.is_ok_and(|about| about == act.about)
            }
            LedgerEvent::Exchanged { .. } => matches!(act.about, About::Token(_)),
            _ => !matches!(act.about, About::Key(_) | About::Token(_)),
        };
        if !fits {
            return wrong("is about something else than it says");
        }
        if let Some(statement) = act.event.statement() {
            self.passkeys.follow_statement(seq, statement)?;
        }
        if matches!(act.about, About::Key(_) | About::Token(_)) && !self.hashed.insert(act.about) {
            return wrong("certifies a key, or takes a token, a second time");
        }
        match act.change() {
            Some(AuthorityChange::Revokes(revocations, why)) => {
                for revocation in revocations {
                    let before = revocation.before(seq);
                    let so_far = self.revoked.get(&revocation.basis).map_or(0, |(before, _)| *before);
                    if before > so_far {
                        self.revoked.insert(revocation.basis, (before, why.clone()));
                    }
                }
            }
            Some(AuthorityChange::Thaws(seen)) => {
                if seen >= seq {
                    return wrong("lifts a freeze that was not on record yet");
                }
                if self.revoked.get(&Basis::Thaw).is_some_and(|(before, _)| *before <= seen) {
                    self.revoked.remove(&Basis::Thaw);
                }
            }
            Some(AuthorityChange::Notified(notifier, upto)) => {
                if upto >= seq {
                    return wrong("says that a later record was delivered to a notifier");
                }
                let delivered = self.notified.entry(notifier).or_default();
                *delivered = upto.max(*delivered);
            }
            None => {}
        }
        Ok(())
    }

    /// Checks that a run starts under a request on record, and that nothing of its authority was revoked.
    pub(crate) fn allow(&self, seq: u64, started: &Started, rests_on: &[RestsOn]) -> Result<(), AuditError> {
        let wrong = |why: String| Err(AuditError::Record { seq, why });
        if let Some(grant) = &started.grant
            && let Some(authority) = &grant.authority
            && self.requests.get(&authority.request) != Some(&grant.digest)
        {
            return wrong("starts a run under a request that is not the one on record".to_owned());
        }
        if rests_on.iter().any(|on| on.since >= seq) {
            return wrong("depends on a record that did not exist yet".to_owned());
        }
        match self.withdrawn(rests_on) {
            Some(withdrawn) => wrong(format!("starts a run without authority: {withdrawn}")),
            None => Ok(()),
        }
    }

    /// What was revoked of these, if anything was.
    pub(crate) fn withdrawn(&self, rests_on: &[RestsOn]) -> Option<Withdrawn> {
        rests_on.iter().find_map(|on| {
            let (before, why) = self.revoked.get(&on.basis)?;
            (on.since < *before).then(|| Withdrawn { basis: on.basis.clone(), why: why.clone() })
        })
    }

    /// Checks that the tables agree with the acts.
    pub(crate) fn check_tables(&self, reader: &Reader, database: &Connection) -> Result<(), AuditError> {
        self.passkeys.check_table(reader, database)?;
        let notified = || -> rusqlite::Result<BTreeMap<String, u64>> {
            let mut rows = database.prepare("SELECT notifier, upto FROM notified")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?.collect()
        };
        let why = "does not agree with its record";
        if notified().map_err(|error| reader.sql(&error))? != self.notified {
            return Err(AuditError::Table { what: "progress", run: "the notifiers".to_owned(), why });
        }
        let revoked = || -> rusqlite::Result<BTreeMap<String, (u64, String)>> {
            let mut rows = database.prepare("SELECT basis, before, why FROM revoked")?;
            rows.query_map([], |row| Ok((row.get(0)?, (row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?))))?
                .collect()
        };
        let stored = revoked().map_err(|error| reader.sql(&error))?;
        let expected: BTreeMap<String, (u64, String)> =
            self.revoked.iter().map(|(basis, revoked)| (basis.to_string(), revoked.clone())).collect();
        let differs =
            expected.keys().chain(stored.keys()).find(|basis| stored.get(*basis) != expected.get(*basis));
        match differs {
            None => Ok(()),
            Some(basis) => Err(AuditError::Table { what: "revocation", run: basis.clone(), why }),
        }
    }
}
