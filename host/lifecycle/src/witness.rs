//! Asks witnesses to cosign the log's checkpoint (<https://c2sp.org/tlog-witness>, as client). A witness's cosignature
//! shows that everyone is shown the same log.

use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use remit_journal::Cosigned;
use remit_tlog::{Cosignature, WitnessVerifier, add_checkpoint_body, add_cosignatures, conflict_size};
use serde::Serialize;
use ureq::Agent;

use crate::config::WitnessConfig;
use crate::{Error, Host};

const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum difference of a witness's clock to ours, in seconds.
const SKEW: i64 = 15 * 60;
/// The maximum size of a witness's answer in bytes.
const LONGEST: u64 = 64 * 1024;

/// The answer of a witness.
#[derive(Clone, Debug, Serialize)]
pub struct Witnessed {
    /// The name of the witness; its URL, if its key could not be read.
    pub witness: String,
    /// The size of the checkpoint that it cosigned; none if it did not cosign.
    pub size: Option<u64>,
    /// Why the witness did not cosign; none if it did.
    pub why_not: Option<String>,
}

/// Asks every configured witness to cosign the newest checkpoint, all at once, and keeps each cosignature as soon as it
/// is there. The failure of one witness does not affect the others.
pub fn ask_witnesses(host: &Host) -> Result<Vec<Witnessed>, Error> {
    let config = host.home.load()?;
    if config.witness.is_empty() {
        return Err(Error::NoWitness { file: host.home.config().display().to_string() });
    }
    let key = host.home.verifier()?;
    let (note, size, known) = {
        let reader = host.journal.reader()?;
        let note = host.journal.plain_checkpoint()?;
        let size = key.verify(&note)?.size;
        (note, size, reader.cosigned()?)
    };
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut witnessed: Vec<Witnessed> = Vec::new();
    let mut asked: Vec<(usize, &WitnessConfig, WitnessVerifier)> = Vec::new();
    for (n, entry) in config.witness.iter().enumerate() {
        let mut answer = Witnessed { witness: entry.url.clone(), size: None, why_not: None };
        match WitnessVerifier::parse(&entry.key) {
            Ok(witness) if asked.iter().any(|(_, _, other)| other.name() == witness.name()) => {
                answer.why_not = Some(format!("{} is in remit.toml twice", witness.name()));
            }
            Ok(witness) => {
                witness.name().clone_into(&mut answer.witness);
                asked.push((n, entry, witness));
            }
            Err(error) => answer.why_not = Some(format!("its `key` in remit.toml: {error}")),
        }
        witnessed.push(answer);
    }
    let (send, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        for (n, entry, witness) in &asked {
            let last = known.iter().find(|cosigned| cosigned.witness == witness.name());
            let (log, from) = (Log { host, note: &note, size }, last.map_or(0, |cosigned| cosigned.size));
            let (send, agent) = (send.clone(), &agent);
            scope.spawn(move || send.send((*n, ask(agent, entry, witness, &log, from))));
        }
        drop(send);
        // Earlier cosignatures of this checkpoint are kept, whether or not the witness answers now.
        let kept = asked.iter().filter_map(|(_, _, witness)| {
            let kept = known.iter().find(|kept| kept.size == size && kept.witness == witness.name())?;
            witness.verify(&note, kept.note.rsplit_once("\n\n")?.1).ok()
        });
        let mut cosigned = add_cosignatures(&note, &kept.collect::<Vec<_>>());
        let mut signers = Vec::new();
        for (n, answer) in answers {
            let Some(told) = witnessed.get_mut(n) else { continue };
            match answer {
                Ok(cosignature) => {
                    told.size = Some(size);
                    cosigned = add_cosignatures(&cosigned, &[cosignature]);
                    signers.push(told.witness.clone());
                    for witness in signers.iter().cloned() {
                        host.journal.keep_cosigned(&Cosigned { witness, size, note: cosigned.clone() })?;
                    }
                }
                Err(why) => told.why_not = Some(why),
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok(witnessed)
}

/// The checkpoint that a witness is asked to sign, and its log.
struct Log<'a> {
    host: &'a Host,
    note: &'a str,
    size: u64,
}

impl Log<'_> {
    /// The proof that the log continues from size `from`. It is made from the journal, whatever a witness claims to have
    /// signed.
    fn growth(&self, from: u64) -> Result<Vec<remit_tlog::Hash>, String> {
        if from > self.size {
            return Err(format!(
                "it claims to have signed {from} records of this log, which has {}: either the witness is wrong, or an \
                 older journal was restored; keep the journal and the witness's answer, and find out which",
                self.size
            ));
        }
        let growth =
            self.host.journal.reader().map_err(Error::from).and_then(|r| Ok(r.growth(from, self.size)?));
        growth.map_err(|error| format!("the journal cannot show how it grew from {from} records: {error}"))
    }
}

/// Asks one witness. Returns its cosignature, or why there is none.
fn ask(
    agent: &Agent,
    entry: &WitnessConfig,
    witness: &WitnessVerifier,
    log: &Log<'_>,
    mut from: u64,
) -> Result<Cosignature, String> {
    let url = format!("{}/add-checkpoint", entry.url.trim_end_matches('/'));
    // The kept size is larger if an older journal was restored since. The witness then answers with the size it knows.
    from = from.min(log.size);
    let mut proof = log.growth(from)?;
    // A witness that signed another size of this log answers with that size, and is asked once more from there.
    for again in [true, false] {
        let body = add_checkpoint_body(from, &proof, log.note);
        let mut answer =
            agent.post(&url).send(&body).map_err(|error| format!("{url} does not answer: {error}"))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string();
        let text = text.map_err(|error| format!("its answer cannot be read: {error}"))?;
        return match status {
            200 => match witness.verify(log.note, &text) {
                Err(error) => Err(error.to_string()),
                Ok(signed)
                    if Timestamp::now().as_second().abs_diff(signed.timestamp.cast_signed())
                        > SKEW.unsigned_abs() =>
                {
                    Err("its clock is more than 15 minutes from this machine's".to_owned())
                }
                Ok(signed) => Ok(signed),
            },
            409 => match conflict_size(&text) {
                Ok(known) if again => {
                    (from, proof) = (known, log.growth(known)?);
                    continue;
                }
                Ok(known) => Err(format!("it has just signed {known} records of this log; ask again")),
                Err(error) => Err(error.to_string()),
            },
            403 => Err("it does not trust this log's key: give it the content of log.pub".to_owned()),
            404 => Err("it does not know this log: give it the content of log.pub".to_owned()),
            422 => {
                Err("it signed another history of this log: keep the journal and the witness's answer, and find out which was changed"
                    .to_owned())
            }
            other => Err(format!("it answered {other}")),
        };
    }
    Err("it answers with another size each time".to_owned())
}
