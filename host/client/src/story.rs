//! A run as a server tells it.

use remit_journal::{Record, RunId};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The records of a run, with their numbers, as the journal has them. What they tell is computed where it is shown.
#[derive(Debug)]
pub struct Story {
    /// The run.
    pub run: RunId,
    /// Its records, each with its sequence number.
    pub records: Vec<(u64, Record)>,
}

impl<'de> Deserialize<'de> for Story {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Told {
            run: RunId,
            records: Vec<Box<RawValue>>,
        }
        #[derive(Deserialize)]
        struct Numbered {
            seq: u64,
        }
        let Told { run, records } = Told::deserialize(from)?;
        let numbered = |raw: Box<RawValue>| {
            let Numbered { seq } = serde_json::from_str(raw.get())?;
            Ok((seq, serde_json::from_str(raw.get())?))
        };
        let records: Result<_, serde_json::Error> = records.into_iter().map(numbered).collect();
        Ok(Self { run, records: records.map_err(serde::de::Error::custom)? })
    }
}
