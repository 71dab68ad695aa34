//! The operations: a call that reads, and one that changes something.

use std::borrow::Cow;
use std::sync::Arc;

use remit_gate::{
    Change, Changes, Countermeasure, Failure, Observe, Operation, Permit, Prepared, Reads, Resource, State,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Call, Connector, Played, Rehearsal};

/// The interface of an operation.
fn interface(operation: &str) -> &str {
    operation.rsplit_once('.').map_or(operation, |(interface, _)| interface)
}

/// A call that reads; or one that no connector serves, which fails.
#[derive(Debug)]
pub struct Look {
    pub(super) call: Call,
    /// The connector; or why there is none.
    pub(super) by: Result<Arc<dyn Connector>, Failure>,
}

/// A call that changes something.
#[derive(Debug)]
pub struct Act {
    pub(super) call: Call,
    pub(super) by: Arc<dyn Connector>,
    /// What it returned, of a call on record.
    pub(super) got: Option<Box<RawValue>>,
}

impl Serialize for Look {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.call.arguments.serialize(to)
    }
}

impl Serialize for Act {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.call.arguments.serialize(to)
    }
}

impl Operation for Look {
    const NAME: &'static str = "a look through a connector";
    type Kind = Reads;
    type Backend = Rehearsal;
    type Outcome = Value;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.call.resource)
    }

    fn name(&self) -> &str {
        &self.call.operation
    }

    fn interface(&self) -> &str {
        interface(&self.call.operation)
    }

    fn sent(&self) -> Option<Box<RawValue>> {
        self.call.sent.on_record()
    }
}

impl Observe for Look {
    /// A read that is given a sealed value tells something of it: whoever chooses the value can test a guess.
    fn content(&self) -> bool {
        let facts = self.by.as_ref().ok().and_then(|by| by.function(&self.call.operation));
        facts.is_some_and(|facts| !facts.sealed.is_empty())
    }

    async fn observe(&self, on: &Rehearsal) -> Result<Value, Failure> {
        let by = self.by.as_ref().map_err(Failure::clone)?;
        by.observe(&self.call, on.of(&self.call.resource)).await
    }
}

impl Operation for Act {
    const NAME: &'static str = "a change through a connector";
    type Kind = Changes;
    type Backend = Rehearsal;
    type Outcome = Value;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.call.resource)
    }

    fn name(&self) -> &str {
        &self.call.operation
    }

    fn interface(&self) -> &str {
        interface(&self.call.operation)
    }

    fn sent(&self) -> Option<Box<RawValue>> {
        self.call.sent.on_record()
    }
}

/// What a connector found before a change. On record is what its `undo` needs; the rest is for the plan and for a rehearsal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Found {
    /// What the connector needs to know to compare and to take back.
    pub undo: Value,
    /// What its undo would do, in words.
    #[serde(skip)]
    pub describe: String,
    /// What a rehearsal returns.
    #[serde(skip)]
    pub would_return: Value,
}

/// What the plan says of a change where the connector's description has `cas = "none"`.
const CAUTION: &str = "the system compares nothing as it writes: what somebody else changes in the same moment can be overwritten";

impl Change for Act {
    // `Known` has the connector's own.
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;
    type Undo = Found;

    fn irrevocable(&self) -> Option<&str> {
        self.by.function(&self.call.operation).and_then(|facts| facts.irrevocable_because)
    }

    fn caution(&self, _: &Found) -> Option<Cow<'static, str>> {
        let facts = self.by.function(&self.call.operation)?;
        (!facts.compares).then_some(CAUTION.into())
    }

    async fn prepare(&self, on: &Rehearsal) -> Result<Prepared<Found>, Failure> {
        self.by.prepare(&self.call, on.of(&self.call.resource)).await
    }

    fn rehearse(&self, before: &Prepared<Found>, on: &Rehearsal) -> Value {
        let Call { operation, arguments, .. } = &self.call;
        let undo = before.undo.undo.clone();
        let played = Played { operation: Arc::clone(operation), arguments: arguments.clone(), undo };
        on.play(&self.call.resource, played);
        before.undo.would_return.clone()
    }

    async fn perform(_: &Rehearsal, by: Permit<'_, Self>) -> Result<Value, Failure> {
        let Self { call, by: connector, .. } = by.operation();
        connector.perform(call, by.before(), by.authority()).await
    }

    async fn state(&self, before: &Prepared<Found>, _: &Rehearsal) -> Result<State, Failure> {
        self.by.state(&self.call, before, self.got.as_deref()).await
    }

    async fn undo(_: &Rehearsal, by: Permit<'_, Self>) -> Result<(), Failure> {
        let Self { call, by: connector, got } = by.operation();
        connector.undo(call, by.before(), got.as_deref(), by.authority()).await
    }

    fn describe_undo(&self, before: &Found) -> String {
        before.describe.clone()
    }
}
