//! What the connectors of a home serve together, by interface.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remit_engine::Signatures;
use remit_gate::{Effect, Failure, Known, Past, Resource, SealedValues};
use remit_journal::ConnectorRef;

use super::{Act, Call, Connector, check_form, instance};
use crate::Interface;

/// An interface and the connectors that serve it.
#[derive(Debug)]
pub struct Served {
    /// Its functions. Of a recorded run, where nothing is called, none.
    pub functions: Signatures,
    /// The kind of its resources.
    pub kind: String,
    /// Of each function that has some, the parameters that are handles of sealed inputs.
    pub sealed: BTreeMap<String, Vec<String>>,
    /// The connectors by the names of their instances.
    pub by: BTreeMap<String, Arc<dyn Connector>>,
    /// Of a recorded run, the sealed inputs of it that are still kept.
    pub inputs: Arc<SealedValues>,
}

impl Served {
    /// The connector that serves a resource.
    pub fn route(&self, resource: &Resource) -> Result<&Arc<dyn Connector>, Failure> {
        let instance = instance(resource);
        self.by.get(instance).ok_or_else(|| {
            let known: Vec<&str> = self.by.keys().map(String::as_str).collect();
            Failure::NotFound(format!(
                "no connector `{instance}` serves this, only: {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))
        })
    }
}

/// The interfaces that these connectors serve. They must agree on each; an error says what about.
pub fn interfaces(connectors: &[Arc<dyn Connector>]) -> Result<Vec<Interface>, String> {
    let mut all: BTreeMap<String, Served> = BTreeMap::new();
    let mut instances = BTreeSet::new();
    for connector in connectors {
        let own = &connector.reference().instance;
        // Also if they serve different interfaces: a name says where a request goes.
        if !instances.insert(own) {
            return Err(format!("there are two connectors `{own}`"));
        }
        for (name, functions) in connector.interfaces() {
            check_form(functions).map_err(|why| format!("{name}: {why}"))?;
            let served = one(&**connector, name, functions)?;
            let of = match all.get_mut(name) {
                None => all.entry(name.clone()).or_insert(served),
                Some(of) => {
                    let differs = [
                        ("the types of its functions", of.functions != served.functions),
                        ("the kind of its resources", of.kind != served.kind),
                        ("which parameters are sealed", of.sealed != served.sealed),
                    ];
                    if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
                        let others: Vec<&str> = of.by.keys().map(String::as_str).collect();
                        return Err(format!(
                            "the connector `{own}` does not agree with {} on {what} of {name}",
                            others.join(", ")
                        ));
                    }
                    of
                }
            };
            of.by.insert(own.clone(), Arc::clone(connector));
        }
    }
    let mut versions = BTreeSet::new();
    let mut names = all.keys().filter_map(|name| name.split('@').next());
    if let Some(twice) = names.find(|name| !versions.insert(*name)) {
        return Err(format!("connectors serve {twice} in two versions"));
    }
    Ok(all.into_iter().map(|(name, served)| row(&name, served)).collect())
}

/// One interface, as one connector serves it.
fn one(connector: &dyn Connector, name: &str, functions: &Signatures) -> Result<Served, String> {
    let plain = name.split('@').next().unwrap_or(name);
    let mut kind: Option<&str> = None;
    let mut sealed = BTreeMap::new();
    for (function, signature) in &functions.0 {
        let operation = format!("{plain}.{function}");
        let facts = connector.function(&operation);
        let facts = facts.ok_or_else(|| format!("its description says nothing of {operation}"))?;
        if kind.is_some_and(|kind| kind != facts.kind) {
            return Err(format!("its functions of {name} have resources of two kinds"));
        }
        kind = Some(facts.kind);
        let parameters = &signature.parameters[1..];
        let known = |named: &&String| parameters.iter().any(|(parameter, _)| parameter == *named);
        if let Some(unknown) = facts.sealed.iter().find(|named| !known(named)) {
            return Err(format!("{operation} has no parameter `{unknown}` that could be sealed"));
        }
        if !facts.sealed.is_empty() {
            sealed.insert(function.clone(), facts.sealed.to_vec());
        }
    }
    let kind = kind.ok_or_else(|| format!("{name} has no functions, so nothing can serve it"))?.to_owned();
    Ok(Served { functions: functions.clone(), kind, sealed, by: BTreeMap::new(), inputs: Arc::default() })
}

/// The interfaces of a recorded run: their calls are answered from the record, or taken back by `by`, which are the connectors
/// of then, with the sealed inputs that are still kept.
#[must_use]
pub fn of_record(
    connectors: &[ConnectorRef],
    by: &[Arc<dyn Connector>],
    inputs: &Arc<SealedValues>,
) -> Vec<Interface> {
    let mut all: BTreeMap<String, Served> = BTreeMap::new();
    for of in connectors.iter().flat_map(|connector| &connector.interfaces) {
        all.entry(of.name.clone()).or_insert_with(|| Served {
            functions: Signatures::default(),
            kind: of.kind.clone(),
            sealed: of.sealed.clone(),
            by: by.iter().map(|by| (by.reference().instance.clone(), Arc::clone(by))).collect(),
            inputs: Arc::clone(inputs),
        });
    }
    all.into_iter().map(|(name, served)| row(&name, served)).collect()
}

/// The interface as the registry has it.
fn row(import: &str, served: Served) -> Interface {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let risk = served.by.values().map(|by| {
        let ConnectorRef { instance, origin, .. } = by.reference();
        format!("reaches {origin} through the connector `{instance}`")
    });
    let risk = risk.collect::<Vec<_>>().join("; ");
    let kind = served.kind.clone();
    let served = Arc::new(served);
    let operations = served.functions.0.keys().map(|function| known(&served, format!("{name}.{function}")));
    Interface {
        name: Cow::Owned(name.to_owned()),
        version: Cow::Owned(version.to_owned()),
        kind: Some(Cow::Owned(kind)),
        through: None,
        wasi: false,
        risk: Cow::Owned(risk),
        operations: Cow::Owned(operations.collect()),
        served: Some(served),
    }
}

/// Whether an effect is less than another.
#[must_use]
pub fn is_weaker(effect: Effect, than: Effect) -> bool {
    rank(effect) < rank(than)
}

/// How strong an effect is. Connectors never disclose.
fn rank(effect: Effect) -> u8 {
    match effect {
        Effect::Observe => 0,
        Effect::Change => 1,
        Effect::Disclose => 2,
        Effect::Irrevocable => 3,
    }
}

/// The operation of this name: with the strongest effect that a connector declares.
pub(crate) fn known(served: &Arc<Served>, name: String) -> Known {
    let facts = || served.by.values().filter_map(|by| by.function(&name));
    let effect = facts().map(|facts| facts.effect).max_by_key(|effect| rank(*effect));
    let countermeasure = facts().find_map(|facts| facts.countermeasure);
    match effect {
        Some(Effect::Observe) => {
            let content = facts().any(|facts| !facts.sealed.is_empty());
            Known::named_observe(name, content)
        }
        // Of a recorded run nothing may be known; what is undone is a change.
        effect => {
            let served = Arc::clone(served);
            let irrevocable = effect == Some(Effect::Irrevocable);
            Known::named_change(name, irrevocable, countermeasure, move |past| past_act(&served, past))
        }
    }
}

/// A recorded change.
fn past_act(served: &Served, Past { intent, got }: Past<'_>) -> Result<Act, String> {
    let resource = Resource::try_from(intent.resource.clone()).map_err(|error| error.to_string())?;
    let by = Arc::clone(served.route(&resource).map_err(|failure| failure.to_string())?);
    let call = Call {
        operation: intent.operation.as_str().into(),
        resource,
        arguments: intent.arguments.clone(),
        sealed: Arc::clone(&served.inputs),
        sent: super::Requests::default(),
    };
    Ok(Act { call, by, got: got.map(ToOwned::to_owned) })
}
