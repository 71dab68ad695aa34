//! What an audit knows of authority: what was asked for, and what was taken away.

use std::collections::{BTreeMap, HashMap};

use remit_trust::Digest;
use remit_trust::dsse::Envelope;

use crate::act::Effect;
use crate::{About, Act, AuditError, Deed, Ground, Reader, RequestId, RestsOn, Started, Withdrawn};

/// The acts so far.
#[derive(Default)]
pub(crate) struct Grounds {
    requests: HashMap<RequestId, Digest>,
    struck: BTreeMap<Ground, (u64, String)>,
    told: BTreeMap<String, u64>,
}

impl Grounds {
    pub(crate) fn follow(&mut self, seq: u64, act: &Act) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        if let About::Request(request) = act.about {
            let known = self.requests.contains_key(&request);
            match &act.deed {
                Deed::Requested(_) if known => return wrong("makes a request a second time"),
                Deed::Requested(word) => {
                    let envelope: Result<Envelope, _> = serde_json::from_str(word.document.get());
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
        match act.effect() {
            Some(Effect::Strikes(strikes, why)) => {
                for strike in strikes {
                    let before = strike.before(seq);
                    let held = self.struck.get(&strike.ground).map_or(0, |(before, _)| *before);
                    if before > held {
                        self.struck.insert(strike.ground, (before, why.clone()));
                    }
                }
            }
            Some(Effect::Lifts(ground)) => {
                self.struck.remove(&ground);
            }
            Some(Effect::Tells(notifier, upto)) => {
                if upto >= seq {
                    return wrong("says that a later record was told");
                }
                let told = self.told.entry(notifier).or_default();
                *told = upto.max(*told);
            }
            None => {}
        }
        Ok(())
    }

    /// A run starts under authority that was asked for, and that nobody took away.
    pub(crate) fn allow(&self, seq: u64, started: &Started, rests_on: &[RestsOn]) -> Result<(), AuditError> {
        let wrong = |why: String| Err(AuditError::Record { seq, why });
        if let Some(grant) = &started.grant
            && let Some(authority) = &grant.authority
            && self.requests.get(&authority.request) != Some(&grant.digest)
        {
            return wrong("starts a run under a request that is not the one on record".to_owned());
        }
        if rests_on.iter().any(|on| on.since >= seq) {
            return wrong("rests on a record that was not there yet".to_owned());
        }
        match self.withdrawn(rests_on) {
            Some(withdrawn) => wrong(format!("starts a run without authority: {withdrawn}")),
            None => Ok(()),
        }
    }

    pub(crate) fn withdrawn(&self, rests_on: &[RestsOn]) -> Option<Withdrawn> {
        rests_on.iter().find_map(|on| {
            let (before, why) = self.struck.get(&on.ground)?;
            (on.since < *before).then(|| Withdrawn { ground: on.ground.clone(), why: why.clone() })
        })
    }

    pub(crate) fn check_table(
        &self,
        reader: &Reader,
        database: &rusqlite::Connection,
    ) -> Result<(), AuditError> {
        let read = || -> rusqlite::Result<BTreeMap<String, (u64, String)>> {
            let mut rows = database.prepare("SELECT ground, before, why FROM struck")?;
            rows.query_map([], |row| Ok((row.get(0)?, (row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?))))?
                .collect()
        };
        let noted = read().map_err(|error| reader.sql(&error))?;
        let told: BTreeMap<String, (u64, String)> =
            self.struck.iter().map(|(ground, struck)| (ground.to_string(), struck.clone())).collect();
        let told_rows = || -> rusqlite::Result<BTreeMap<String, u64>> {
            let mut rows = database.prepare("SELECT notifier, upto FROM told")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?.collect()
        };
        if told_rows().map_err(|error| reader.sql(&error))? != self.told {
            return Err(AuditError::Table {
                what: "progress",
                run: "the notifiers".to_owned(),
                why: "is not noted as its record says",
            });
        }
        let missing = told.iter().find(|(ground, struck)| noted.get(*ground) != Some(*struck));
        match missing
            .map(|(ground, _)| ground)
            .or_else(|| noted.keys().find(|ground| !told.contains_key(*ground)))
        {
            None => Ok(()),
            Some(ground) => Err(AuditError::Table {
                what: "revocation",
                run: ground.clone(),
                why: "is not noted as its record says",
            }),
        }
    }
}
