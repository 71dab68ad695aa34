//! Cutting the traffic of a workload.

use std::borrow::Cow;

use remit_backend::Networks;
use remit_backend::network::{Draft, apart};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use remit_journal::RunId;
use remit_trust::SecretBytes;
use serde::{Deserialize, Serialize};

use super::KIND;
use super::argument::target;
use super::bindings::remit::network::cut;
use crate::{CallError, Ctx};

impl cut::Host for Ctx {
    async fn cut(&mut self, path: String) -> Result<(), CallError> {
        let resource = self.workload::<CutTraffic>(KIND, &path)?;
        self.change(CutTraffic { resource }).await
    }
}

/// `remit:network/cut.cut`: cuts the traffic of a workload until that is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutTraffic {
    /// The workload whose traffic is cut.
    pub resource: Resource,
}

/// The run whose rules they are.
fn run_of(before: &Prepared<Draft>) -> Result<RunId, Failure> {
    let sealed = before.secret.as_ref().map(SecretBytes::expose).unwrap_or_default();
    let run = std::str::from_utf8(sealed).ok().and_then(|run| run.parse().ok());
    run.ok_or_else(|| Failure::Invalid("the journal does not hold whose rules they are".to_owned()))
}

impl Operation for CutTraffic {
    const NAME: &'static str = "remit:network/cut.cut";
    type Kind = Changes;
    type Backend = Networks;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Change for CutTraffic {
    const COUNTERMEASURE: Countermeasure = Countermeasure::Isolate;
    type Undo = Draft;

    async fn prepare(&self, on: &Networks) -> Result<Prepared<Draft>, Failure> {
        let (place, target) = (on.at(&self.resource)?, target(&self.resource)?);
        let undo = place.draft(&target).await?;
        if let Some(cut) = place.look(&target).await? {
            let by =
                cut.run.map_or_else(|| "rules that name no run".to_owned(), |run| format!("the run {run}"));
            return Err(Failure::Conflict(format!("{} is cut already, by {by}", self.resource)));
        }
        // No secret. But a plan is compared with the next rehearsal of it, and whose rules they are differs by its nature.
        let run = SecretBytes::new(on.run()?.to_string().into_bytes());
        Ok(Prepared { undo, secret: Some(run), irrevocable: None })
    }

    fn rehearse(&self, before: &Prepared<Draft>, on: &Networks) {
        let (played, target) = (on.played(&self.resource), target(&self.resource));
        if let (Some(played), Ok(target), Ok(run)) = (played, target, run_of(before)) {
            played.cut(&target, &before.undo, run);
        }
    }

    async fn perform(on: &Networks, by: Permit<'_, Self>) -> Result<(), Failure> {
        let resource = &by.operation().resource;
        let (draft, run) = (&by.before().undo, run_of(by.before())?);
        on.place(resource)?.cut(&target(resource)?, draft, run, by.authority()).await
    }

    async fn state(&self, before: &Prepared<Draft>, on: &Networks) -> Result<State, Failure> {
        let draft = &before.undo;
        Ok(match on.at(&self.resource)?.look_again(draft).await? {
            None => State::Before,
            Some(cut) => apart(&cut, draft, run_of(before)?).map_or(State::After, State::Other),
        })
    }

    async fn undo(on: &Networks, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (draft, run) = (&by.before().undo, run_of(by.before())?);
        on.place(&by.operation().resource)?.restore(draft, run, by.authority()).await
    }

    fn describe_undo(&self, before: &Draft) -> String {
        format!("delete the table {}, and with it these rules and no others", before.table)
    }

    fn caution(&self, _: &Draft) -> Option<Cow<'static, str>> {
        Some("connections that it has are reset, and do not come back by undo".into())
    }
}
