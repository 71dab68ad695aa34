//! The interfaces that connectors serve, in tests of actions: a fixture has the answers, call by call. What is called and answered
//! has the types that the action imports.
//!
//! ```toml
//! [[call]]
//! operation = "remit:tokens/check.works"
//! resource  = "token:bao"
//! after     = "remit:tokens/revoke.revoke"
//! returns   = false
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_capability::connected::{Boxed, Call, Connector, Facts, Found, Played};
use remit_engine::{Signatures, Type};
use remit_gate::{Authority, Effect, Failure, Prepared, Resource, State};
use remit_journal::{ActionRef, ConnectedInterface, ConnectorRef};
use remit_sandbox::{BUILT_IN, Inspection};
use remit_trust::Digest;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::FailureKind;

/// The answer to calls of one function on one resource. The last one that fits is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The function: `remit:tokens/check.works`.
    pub operation: String,
    /// What it is called on: `token:bao`.
    #[serde(deserialize_with = "resource")]
    pub resource: Resource,
    /// Arguments that a call must have so that this is its answer.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// A change that must have happened before: the answer is another one then.
    pub after: Option<String>,
    /// Whether a change that a rehearsal played counts as having happened. If not, the system does something else than was expected.
    #[serde(default = "yes")]
    pub rehearsed: bool,
    /// What is returned; nothing if the function returns nothing. Members without a value are left out.
    pub returns: Option<Value>,
    /// The failure in place of a result.
    pub fails: Option<FailureKind>,
    /// What the function does, where the WIT is not the host's own.
    pub effect: Option<Effect>,
}

fn yes() -> bool {
    true
}

fn resource<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Resource, D::Error> {
    Resource::try_from(String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// What all instances of one test share.
#[derive(Debug, Default)]
struct Script {
    answers: Vec<Answer>,
    effects: BTreeMap<String, Effect>,
    state: Mutex<Happened>,
}

#[derive(Debug, Default)]
struct Happened {
    /// The changes, by the numbers of their calls here: operation, resource, arguments.
    changes: Vec<(String, String, String)>,
    /// Calls to which there is no answer.
    unanswered: BTreeSet<String>,
}

/// One instance, as the action sees it.
#[derive(Debug)]
pub(crate) struct Scripted {
    reference: ConnectorRef,
    interfaces: BTreeMap<String, Signatures>,
    kinds: BTreeMap<String, String>,
    script: Arc<Script>,
}

/// The instances that answer in a test, and what they have no answer to.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) instances: Vec<Arc<dyn Connector>>,
    script: Arc<Script>,
}

impl Cast {
    /// Those that serve all that an action imports and the host does not have. An error says what is wrong with an answer.
    pub(crate) fn of(action: &Inspection, answers: &[Answer]) -> Result<Self, String> {
        let interfaces: BTreeMap<String, Signatures> = action
            .imports
            .iter()
            .filter_map(|import| {
                Some((import.name.clone(), import.functions.as_ref()?.as_ref().ok()?.clone()))
            })
            .filter(|(name, functions)| !functions.0.is_empty() && can_be_served(name, functions))
            .collect();
        let mut effects = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        for (name, functions) in &interfaces {
            let plain = plain(name);
            // Of an interface that no answer names, the kind is never seen in a call that is answered.
            kinds.insert(name.clone(), plain.split(['/', ':']).nth(1).unwrap_or("thing").to_owned());
            for function in functions.0.keys() {
                let operation = format!("{plain}.{function}");
                let own =
                    answers.iter().filter(|answer| answer.operation == operation).find_map(|one| one.effect);
                let effect = remit_connector::component::standard_effect(&operation).or(own);
                effects.insert(operation, effect.unwrap_or(Effect::Observe));
            }
        }
        for answer in answers {
            let Answer { operation, resource, .. } = answer;
            let of = interfaces.iter().find(|(name, functions)| {
                operation
                    .strip_prefix(plain(name))
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|function| functions.0.contains_key(function))
            });
            let Some((name, functions)) = of else {
                return Err(format!(
                    "[[call]] {operation}: the action does not import it, or the host has it itself"
                ));
            };
            kinds.insert(name.clone(), resource.kind().to_owned());
            let function = operation.rsplit('.').next().unwrap_or_default();
            let ty = functions.0.get(function).and_then(|signature| ok_type(signature.result.as_ref()));
            let wrong = |why: String| format!("[[call]] {operation} on {resource}: {why}");
            match (answer.fails, &answer.returns) {
                (None, returns) => typed(ty, returns.as_ref()).map(drop).map_err(wrong)?,
                (Some(_), None) => {}
                (Some(_), Some(_)) => {
                    return Err(wrong("it returns something or it fails, not both".to_owned()));
                }
            }
            if let Some(after) = answer.after.as_ref().filter(|after| !effects.contains_key(*after)) {
                return Err(format!("[[call]] {operation}: the action does not import `{after}`"));
            }
        }
        let mut names: BTreeSet<&str> =
            answers.iter().map(|answer| remit_capability::connected::instance(&answer.resource)).collect();
        if names.is_empty() {
            names.insert("fixture");
        }
        let script = Arc::new(Script { answers: answers.to_vec(), effects, state: Mutex::default() });
        let instances = names.into_iter().map(|name| {
            Arc::new(Scripted {
                reference: reference(name, &interfaces, &kinds, &script.effects),
                interfaces: interfaces.clone(),
                kinds: kinds.clone(),
                script: Arc::clone(&script),
            }) as Arc<dyn Connector>
        });
        Ok(Self { instances: instances.collect(), script })
    }

    /// The calls to which there was no answer.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.script.state().unanswered.iter().cloned().collect()
    }
}

/// Whether connectors can serve it in some home.
fn can_be_served(name: &str, functions: &Signatures) -> bool {
    let plain = plain(name);
    let known =
        |function: &String| remit_connector::component::standard_effect(&format!("{plain}.{function}"));
    !name.starts_with("wasi:")
        && BUILT_IN.named(plain).is_none()
        && (!name.starts_with("remit:") || functions.0.keys().all(|function| known(function).is_some()))
}

fn plain(interface: &str) -> &str {
    interface.split('@').next().unwrap_or(interface)
}

fn reference(
    instance: &str,
    interfaces: &BTreeMap<String, Signatures>,
    kinds: &BTreeMap<String, String>,
    effects: &BTreeMap<String, Effect>,
) -> ConnectorRef {
    let told = |(name, functions): (&String, &Signatures)| {
        let all =
            functions.0.keys().filter_map(|function| effects.get(&format!("{}.{function}", plain(name))));
        let mut effects: Vec<Effect> = all.copied().collect();
        effects.sort_by_key(ToString::to_string);
        effects.dedup();
        let kind = kinds.get(name).cloned().unwrap_or_default();
        ConnectedInterface { name: name.clone(), kind, effects, sealed: BTreeMap::new() }
    };
    ConnectorRef {
        instance: instance.to_owned(),
        component: ActionRef {
            digest: Digest::of(instance.as_bytes()),
            name: "fixture".to_owned(),
            version: "0.0.0".to_owned(),
        },
        publisher: String::new(),
        origin: "https://fixture.invalid".to_owned(),
        config: Digest::of(b"{}"),
        interfaces: interfaces.iter().map(told).collect(),
    }
}

/// What a function returns if it does not fail.
fn ok_type(result: Option<&Type>) -> Option<&Type> {
    match result {
        Some(Type::Result(ok, _)) => ok.as_deref(),
        _ => None,
    }
}

/// A result of a function's type; options that are left out are none.
fn typed(ty: Option<&Type>, value: Option<&Value>) -> Result<Value, String> {
    match (ty, value) {
        (None, None) => Ok(Value::Null),
        (None, Some(_)) => Err("it returns nothing".to_owned()),
        (Some(ty), value) => {
            let value = filled(ty, value.unwrap_or(&Value::Null));
            ty.from_json(&value).and_then(|value| ty.to_json(&value)).map_err(|misfit| misfit.to_string())
        }
    }
}

fn filled(ty: &Type, value: &Value) -> Value {
    match (ty, value) {
        (Type::Record(fields), Value::Object(members)) => {
            let mut all = members.clone();
            for (name, ty) in fields {
                let member = members.get(name).map(|member| filled(ty, member));
                let none = matches!(ty, Type::Option(_)).then_some(Value::Null);
                if let Some(member) = member.or(none) {
                    all.insert(name.clone(), member);
                }
            }
            Value::Object(all)
        }
        (Type::List(of), Value::Array(items)) => items.iter().map(|item| filled(of, item)).collect(),
        (Type::Option(of), value) if !value.is_null() => filled(of, value),
        _ => value.clone(),
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, Happened> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a call, after the changes of this run and those that the rehearsal played.
    fn answer(&self, call: &Call, played: &[Played]) -> Result<&Answer, Failure> {
        let arguments: Map<String, Value> = serde_json::from_str(call.arguments.get()).unwrap_or_default();
        let mut state = self.state();
        let happened = |answer: &Answer, operation: &str| {
            state.changes.iter().any(|(of, ..)| of == operation)
                || answer.rehearsed && played.iter().any(|one| &*one.operation == operation)
        };
        let fits = |answer: &&Answer| {
            *answer.operation == *call.operation
                && answer.resource == call.resource
                && answer.arguments.iter().all(|(name, value)| arguments.get(name) == Some(value))
                && answer.after.as_deref().is_none_or(|operation| happened(answer, operation))
        };
        let found = self.answers.iter().rev().find(fits);
        found.ok_or_else(|| {
            let asked = format!("{} on {} {}", call.operation, call.resource, call.arguments.get());
            state.unanswered.insert(asked.clone());
            Failure::Unavailable(format!("the test has no answer to {asked}"))
        })
    }
}

impl Scripted {
    fn returned(&self, call: &Call, answer: &Answer) -> Result<Value, Failure> {
        if let Some(kind) = answer.fails {
            return Err(kind.failure());
        }
        let mut served = self.interfaces.iter();
        let (interface, function) = call.operation.rsplit_once('.').unwrap_or_default();
        let functions = served.find(|(name, _)| plain(name) == interface).map(|(_, functions)| functions);
        let ty = functions.and_then(|of| of.0.get(function)).and_then(|of| ok_type(of.result.as_ref()));
        typed(ty, answer.returns.as_ref()).map_err(Failure::Invalid)
    }

    fn change(call: &Call) -> (String, String, String) {
        (call.operation.to_string(), call.resource.to_string(), call.arguments.get().to_owned())
    }
}

impl Connector for Scripted {
    fn reference(&self) -> &ConnectorRef {
        &self.reference
    }

    fn interfaces(&self) -> &BTreeMap<String, Signatures> {
        &self.interfaces
    }

    fn function(&self, operation: &str) -> Option<Facts<'_>> {
        let effect = *self.script.effects.get(operation)?;
        let (interface, _) = operation.rsplit_once('.')?;
        let (_, kind) = self.kinds.iter().find(|(name, _)| plain(name) == interface)?;
        let irrevocable_because = (effect == Effect::Irrevocable).then_some("it has no undo");
        Some(Facts { effect, kind, irrevocable_because, sealed: &[], countermeasure: None, compares: true })
    }

    fn observe<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Value> {
        Box::pin(async move { self.returned(call, self.script.answer(call, &played)?) })
    }

    fn prepare<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Prepared<Found>> {
        Box::pin(async move {
            let would_return = self.returned(call, self.script.answer(call, &played)?)?;
            let undo = Found {
                undo: Value::Object(Map::new()),
                describe: format!("take {} back", call.operation),
                would_return,
            };
            Ok(Prepared { undo, secret: None, irrevocable: None })
        })
    }

    fn perform<'a>(&'a self, call: &'a Call, _: &'a Prepared<Found>, _: Authority<'a>) -> Boxed<'a, Value> {
        Box::pin(async move {
            let value = self.returned(call, self.script.answer(call, &[])?)?;
            self.script.state().changes.push(Self::change(call));
            Ok(value)
        })
    }

    fn state<'a>(
        &'a self,
        call: &'a Call,
        _: &'a Prepared<Found>,
        _: Option<&'a RawValue>,
    ) -> Boxed<'a, State> {
        Box::pin(async move {
            let happened = self.script.state().changes.contains(&Self::change(call));
            Ok(if happened { State::After } else { State::Before })
        })
    }

    fn undo<'a>(
        &'a self,
        call: &'a Call,
        _: &'a Prepared<Found>,
        _: Option<&'a RawValue>,
        _: Authority<'a>,
    ) -> Boxed<'a, ()> {
        Box::pin(async move {
            let mut state = self.script.state();
            let at = state.changes.iter().rposition(|change| *change == Self::change(call));
            if let Some(at) = at {
                state.changes.remove(at);
            }
            Ok(())
        })
    }
}
