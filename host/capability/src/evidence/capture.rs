//! Keeping evidence of a workload.

use std::borrow::Cow;

use jiff::Timestamp;
use remit_backend::Evidence;
use remit_backend::evidence::{Custody, Gathered, Held, KIND, Kept, Part};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use remit_journal::RunId;
use remit_trust::SecretBytes;
use serde::{Deserialize, Serialize};

use super::bindings::remit::evidence::capture;
use crate::network::target;
use crate::{CallError, Ctx};

impl capture::Host for Ctx {
    async fn capture(&mut self, path: String) -> Result<capture::Archive, CallError> {
        let resource = self.workload::<Capture>(KIND, &path)?;
        let Captured { archive, parts, missing } = self.change(Capture { resource }).await?;
        let cut_off = parts.iter().filter(|part| part.cut_off.is_some()).map(|part| part.name.clone());
        Ok(capture::Archive {
            name: archive.archive,
            sha256: archive.sha256.to_string(),
            size: archive.size,
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            cut_off: cut_off.collect(),
            missing,
        })
    }
}

/// `remit:evidence/capture.capture`: keeps evidence of a workload in a store that is written once.
///
/// It is gathered in the preparation, so that the intent on disk has the digest of what is kept, and it can be told after a crash whether
/// it was. Undo leaves it: see decision 019.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The workload, by the path that `remit:network` has for it.
    pub resource: Resource,
}

/// Where it is kept. What the archive will be is sealed beside it: each rehearsal finds something else, and what was approved is to keep
/// whatever there is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeCapture {
    /// The store, for a person.
    pub store: String,
}

/// The archive, as it was recorded before it was kept.
fn kept(before: &Prepared<BeforeCapture>) -> Result<Kept, Failure> {
    let sealed = before.secret.as_ref().map(SecretBytes::expose).unwrap_or_default();
    serde_json::from_slice(sealed)
        .map_err(|_| Failure::Invalid("the journal does not hold which archive it was".to_owned()))
}

/// What was kept, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The archive.
    pub archive: Kept,
    /// Its parts, each with its digest.
    pub parts: Vec<Part>,
    /// What could not be had, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl Captured {
    fn of(archive: &Kept, gathered: &Gathered) -> Self {
        Self { archive: archive.clone(), parts: gathered.parts.clone(), missing: gathered.missing.clone() }
    }
}

/// What is written beside an archive: whose it is, and what is in it.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    format: &'static str,
    workload: &'a str,
    /// The run; the journal of the host has who asked for it, who approved it and who started it.
    run: RunId,
    reason: &'a str,
    gathered: Timestamp,
    #[serde(flatten)]
    captured: &'a Captured,
}

impl Operation for Capture {
    const NAME: &'static str = "remit:evidence/capture.capture";
    type Kind = Changes;
    type Backend = Evidence;
    type Outcome = Captured;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for Capture {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Detect;
    type Undo = BeforeCapture;

    async fn prepare(&self, on: &Evidence) -> Result<Prepared<BeforeCapture>, Failure> {
        let (place, target) = (on.at(&self.resource)?, target(&self.resource)?);
        let name = on.custody(&self.resource)?.archive();
        if on.has_kept(&name) {
            return Err(Failure::Conflict(format!("this run has kept {} already", self.resource)));
        }
        let gathered = place.gather(&target).await?;
        let kept = place.kept(&name, &gathered.bytes);
        if place.held(&kept).await? != Held::No {
            return Err(Failure::Conflict(format!("{} has a {name} already", kept.store)));
        }
        on.put_aside(&name, gathered);
        let Ok(sealed) = serde_json::to_vec(&kept) else {
            return Err(Failure::Invalid("the archive cannot be recorded".to_owned()));
        };
        let undo = BeforeCapture { store: kept.store };
        Ok(Prepared { undo, secret: Some(SecretBytes::new(sealed)), irrevocable: None })
    }

    #[expect(
        clippy::expect_used,
        reason = "the gate hands on what `prepare` has just made, which put this archive aside"
    )]
    fn rehearse(&self, before: &Prepared<BeforeCapture>, on: &Evidence) -> Captured {
        let kept = kept(before).expect("it was sealed a moment ago");
        Captured::of(&kept, &on.take(&kept).expect("it was put aside a moment ago"))
    }

    async fn perform(on: &Evidence, by: Permit<'_, Self>) -> Result<Captured, Failure> {
        let (resource, kept) = (&by.operation().resource, kept(by.before())?);
        let gathered = on.take(&kept)?;
        let captured = Captured::of(&kept, &gathered);
        let Custody { workload, run, reason } = on.custody(resource)?;
        let manifest = Manifest {
            format: "remit-evidence/1",
            workload: &workload,
            run,
            reason: &reason,
            gathered: gathered.at,
            captured: &captured,
        };
        let manifest = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| Failure::Invalid(format!("the manifest cannot be written: {error}")))?;
        let done = on.at(resource)?.keep(&kept, gathered.bytes, manifest, by.authority()).await;
        if done.as_ref().is_err_and(Failure::is_definite) {
            on.forget(&kept.archive);
        }
        done.map(|()| captured)
    }

    async fn state(&self, before: &Prepared<BeforeCapture>, on: &Evidence) -> Result<State, Failure> {
        Ok(match on.at(&self.resource)?.held(&kept(before)?).await? {
            Held::Yes => State::After,
            Held::No => State::Before,
            Held::Other(why) => State::Other(why),
        })
    }

    /// Nothing is taken back: the workload was only looked at, and what is known of it is kept whatever else is undone.
    async fn undo(_: &Evidence, _: Permit<'_, Self>) -> Result<(), Failure> {
        Ok(())
    }

    fn describe_undo(&self, before: &BeforeCapture) -> String {
        format!("leave the evidence in {}: there is nothing else to undo", before.store)
    }
}
