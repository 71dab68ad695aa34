//! The harmless read by which an operator finds out whether an entry's credential works, before it is needed.

use std::collections::BTreeMap;

use remit_gate::{Failure, SealedValues};
use remit_trust::SecretText;
use serde_json::Value;

use crate::client::{Lost, Outgoing};
use crate::template::{Segment, Template, Text, Variables};
use crate::{Origin, Placeholders, Request};

impl Origin {
    /// Sends the read that a description names as its `check`, with the entry's credential; the status of the answer.
    ///
    /// Fails with `invalid` if the entry's `config` lacks something that is in it.
    pub fn check(&self, check: &Template) -> Result<u16, Failure> {
        let request = self.checking(check).ok_or_else(|| {
            let (name, check) = (self.name(), check.as_str());
            Failure::Invalid(format!(
                "the `config` of [[connector]] {name} lacks what is in the check `{check}`"
            ))
        })?;
        let read = request.read().map_err(|why| Failure::Invalid(format!("`{}`: {why}", check.as_str())))?;
        let target = request.target();
        let plain = |(name, value): &(String, String)| (name.clone(), SecretText::new(value.clone()));
        let mut outgoing = Outgoing {
            method: read.method.name(),
            origin: self.address(),
            target: &target,
            headers: read.headers.iter().map(plain).collect(),
            body: None,
            bound: &read.headers,
            sent_as: None,
        };
        let lent = self.credential.lend(&self.client, &outgoing, self.timeout())?;
        outgoing.headers.extend(lent.headers);
        self.client.send(&outgoing, self.timeout()).map(|answer| answer.status).map_err(Lost::into_failure)
    }

    /// The request of a check. Of variables it has the operator's own only.
    fn checking(&self, check: &Template) -> Option<Request> {
        let (none, inputs, placeholders) = (Value::Null, SealedValues::new(), Placeholders::default());
        let with = Variables {
            path: BTreeMap::new(),
            arguments: &none,
            undo: &none,
            got: &none,
            config: self.config(),
            sealed: &[],
            inputs: &inputs,
            placeholders: &placeholders,
        };
        let pairs = |all: &BTreeMap<String, Text>| {
            all.iter()
                .map(|(name, text)| Some((name.clone(), with.text(text, false)?)))
                .collect::<Option<_>>()
        };
        let segment = |segment: &Segment| match segment {
            Segment::Text(text) => with.text(text, true),
            Segment::One | Segment::Rest => None,
        };
        Some(Request {
            method: check.method.name().to_owned(),
            path: check.path.iter().map(segment).collect::<Option<_>>()?,
            query: pairs(&check.query)?,
            headers: pairs(&check.headers)?,
            body: None,
            credential: None,
        })
    }
}
