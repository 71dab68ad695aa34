//! Looking at the traffic of a workload.

use std::borrow::Cow;

use remit_backend::Networks;
use remit_backend::network::{Connection, KIND};
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};

use super::argument::target;
use super::bindings::remit::network::inspect;
use crate::{CallError, Ctx};

impl inspect::Host for Ctx {
    async fn get(&mut self, path: String) -> Result<inspect::Workload, CallError> {
        let resource = self.workload::<Get>(KIND, &path)?;
        let Workload { cut, by_run, refused } = self.observe(Get { resource }).await?;
        Ok(inspect::Workload { path, cut, by_run, refused })
    }

    async fn connections(&mut self, path: String) -> Result<Vec<inspect::Connection>, CallError> {
        let resource = self.workload::<Connections>(KIND, &path)?;
        let found = self.observe(Connections { resource }).await?;
        let connection =
            |Connection { local, remote, state }: Connection| inspect::Connection { local, remote, state };
        Ok(found.into_iter().map(connection).collect())
    }
}

/// `remit:network/inspect.get`: whether a workload is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// The workload to look at.
    pub resource: Resource,
}

/// What [`Get`] finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Whether its traffic is cut.
    pub cut: bool,
    /// The run that cut it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_run: Option<String>,
    /// How many packets were refused since.
    pub refused: u64,
}

impl Operation for Get {
    const NAME: &'static str = "remit:network/inspect.get";
    type Kind = Reads;
    type Backend = Networks;
    type Outcome = Workload;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Get {
    async fn observe(&self, on: &Networks) -> Result<Workload, Failure> {
        let cut = on.at(&self.resource)?.look(&target(&self.resource)?).await?;
        Ok(Workload {
            cut: cut.is_some(),
            refused: cut.as_ref().map_or(0, |cut| cut.refused),
            by_run: cut.and_then(|cut| cut.run).map(|run| run.to_string()),
        })
    }
}

/// `remit:network/inspect.connections`: whom a workload is connected with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The workload whose connections they are.
    pub resource: Resource,
}

impl Operation for Connections {
    const NAME: &'static str = "remit:network/inspect.connections";
    type Kind = Reads;
    type Backend = Networks;
    type Outcome = Vec<Connection>;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Connections {
    async fn observe(&self, on: &Networks) -> Result<Vec<Connection>, Failure> {
        on.at(&self.resource)?.connections(&target(&self.resource)?).await
    }
}
