//! Asking witnesses to cosign the log's checkpoint (<https://c2sp.org/tlog-witness>, as client): whoever
//! trusts one of them knows that everyone is shown the same log.

use std::time::Duration;

use jiff::Timestamp;
use remit_journal::Cosigned;
use remit_tlog::{WitnessVerifier, add_checkpoint_body, add_cosignatures, conflict_size};
use serde::{Deserialize, Serialize};
use ureq::Agent;

use crate::{Error, Host};

const TIMEOUT: Duration = Duration::from_secs(15);
/// How far a witness's clock may be from ours.
const SKEW: i64 = 15 * 60;
/// No answer of a witness is longer.
const LONGEST: u64 = 64 * 1024;

/// `[[witness]]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Where it takes checkpoints: `add-checkpoint` is appended.
    pub url: String,
    /// Its public key, `NAME+ID+BASE64`.
    pub key: String,
}

/// What a witness answered.
#[derive(Clone, Debug, Serialize)]
pub struct Witnessed {
    /// Its name.
    pub witness: String,
    /// The size it cosigned; none if it did not.
    pub size: Option<u64>,
    /// Why it did not.
    pub why_not: Option<String>,
}

/// Asks every configured witness to cosign the newest checkpoint, and keeps what they signed. A witness that
/// does not is reported; the others are asked all the same.
pub fn ask_witnesses(host: &Host) -> Result<Vec<Witnessed>, Error> {
    let config = host.home.load()?;
    if config.witness.is_empty() {
        return Err(Error::NoWitness { file: host.home.config().display().to_string() });
    }
    let key = host.home.verifier()?;
    let reader = host.journal.reader()?;
    let mut note = host.journal.plain_checkpoint()?;
    let size = key.verify(&note)?.size;
    let known = reader.cosigned()?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut witnessed = Vec::new();
    for entry in &config.witness {
        let witness = WitnessVerifier::parse(&entry.key)?;
        let last = known.iter().find(|cosigned| cosigned.witness == witness.name());
        let from = last.map_or(0, |cosigned| cosigned.size);
        let grown = |from: u64| -> Result<Vec<remit_tlog::Hash>, Error> { Ok(reader.growth(from, size)?) };
        let asked = ask(&agent, entry, &witness, &note, from, grown)?;
        match asked {
            Ok(cosignature) => {
                note = add_cosignatures(&note, &[cosignature]);
                witnessed.push(Witnessed {
                    witness: witness.name().to_owned(),
                    size: Some(size),
                    why_not: None,
                });
            }
            Err(why) => {
                witnessed.push(Witnessed {
                    witness: witness.name().to_owned(),
                    size: None,
                    why_not: Some(why),
                });
            }
        }
    }
    for Witnessed { witness, .. } in witnessed.iter().filter(|witnessed| witnessed.size.is_some()) {
        host.journal.keep_cosigned(&Cosigned { witness: witness.clone(), size, note: note.clone() })?;
    }
    Ok(witnessed)
}

/// One witness: the outer error is ours, the inner its refusal in words.
fn ask(
    agent: &Agent,
    entry: &WitnessConfig,
    witness: &WitnessVerifier,
    note: &str,
    mut from: u64,
    grown: impl Fn(u64) -> Result<Vec<remit_tlog::Hash>, Error>,
) -> Result<Result<remit_tlog::Cosignature, String>, Error> {
    let url = format!("{}/add-checkpoint", entry.url.trim_end_matches('/'));
    // A witness that knows another size of this log says which: then once more from there.
    for again in [true, false] {
        let body = add_checkpoint_body(from, &grown(from)?, note);
        let mut answer = match agent.post(&url).send(&body) {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(format!("{url} does not answer: {error}"))),
        };
        let status = answer.status().as_u16();
        let text = match answer.body_mut().with_config().limit(LONGEST).read_to_string() {
            Ok(text) => text,
            Err(error) => return Ok(Err(format!("its answer cannot be read: {error}"))),
        };
        return Ok(match status {
            200 => match witness.verify(note, &text) {
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
                    from = known;
                    continue;
                }
                Ok(known) => Err(format!("it signed {known} records of this log meanwhile; ask again")),
                Err(error) => Err(error.to_string()),
            },
            403 => Err("it does not trust this log's key: give it the content of log.pub".to_owned()),
            404 => Err("it does not know this log: give it the content of log.pub".to_owned()),
            422 => {
                Err("it has seen another story of this log: keep both, and find out which was changed"
                    .to_owned())
            }
            other => Err(format!("it answered {other}")),
        });
    }
    Ok(Err("it does not settle on a size".to_owned()))
}
