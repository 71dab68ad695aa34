//! What `remit inspect` shows of a connector, whoever signed it: every request that it can ever send. Nothing of it runs.

use std::collections::BTreeSet;

use remit_connector::component::{Candidate, Inspection};
use remit_connector::{Cas, Description, Function};
use remit_gate::Effect;
use remit_trust::Digest;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{DiffView, Error, Host, InspectView, PublisherView, connectors};

/// What a connector could do, and who signed it.
#[derive(Debug, Serialize)]
pub struct ConnectorView<'a> {
    /// The component's name, or `unnamed`.
    pub name: &'a str,
    /// The component's version, or `0.0.0`.
    pub version: &'a str,
    /// The component's digest.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: usize,
    /// Who signed it, as far as this home can tell.
    pub publisher: PublisherView,
    /// Every reason why it cannot serve here.
    pub obstacles: &'a [String],
    /// The interfaces that it serves, with their versions.
    pub interfaces: Vec<&'a str>,
    /// The read by which `remit doctor` checks the credential; none if the connector names none.
    pub check: Option<String>,
    /// What each function can do.
    pub functions: Vec<FunctionView>,
}

/// What a function of a connector can do.
#[derive(Debug, Serialize)]
pub struct FunctionView {
    /// Its name: `remit:tokens/revoke.revoke`.
    pub name: String,
    /// What a call of it does to the system, at most.
    pub effect: Effect,
    /// The form of its resources: `token:NAME/{org}/{id}`.
    pub resource: String,
    /// Why it cannot be taken back, if it cannot.
    pub irrevocable_because: Option<String>,
    /// The requests that it can send, each with what it is for.
    pub requests: Vec<(&'static str, String)>,
    /// Where secrets are in answers, which it does not see.
    pub secrets: Vec<String>,
    /// The parameters that are sealed, which it does not see.
    pub sealed: Vec<String>,
    /// How it compares before it writes: `etag`, `version` or `none`.
    pub compares: Cas,
}

impl<'a> ConnectorView<'a> {
    /// The view of a component that exports the contract of connectors.
    pub fn of(found: &'a Inspection, digest: Digest, publisher: PublisherView) -> Result<Self, Error> {
        let description = described(found)?;
        Ok(Self {
            name: &found.name,
            version: &found.version,
            digest,
            size: found.size,
            publisher,
            obstacles: &found.obstacles,
            interfaces: found.interfaces.keys().map(String::as_str).collect(),
            check: description.as_ref().and_then(Description::check).map(ToString::to_string),
            functions: functions(description.as_ref()),
        })
    }
}

/// The description; none of a component that has none.
fn described(found: &Inspection) -> Result<Option<Description>, Error> {
    if found.description.is_empty() {
        return Ok(None);
    }
    let description = Description::parse(&found.description).map_err(|mistake| Error::Document {
        file: "connector.toml".to_owned(),
        wanted: "the description of a connector",
        why: mistake.to_string(),
        help: "docs/connectors.md says what it has".to_owned(),
    })?;
    Ok(Some(description))
}

fn functions(description: Option<&Description>) -> Vec<FunctionView> {
    description.into_iter().flat_map(Description::functions).map(|(name, of)| view(name, of)).collect()
}

fn view(name: &str, of: &Function) -> FunctionView {
    let all = [("reads", of.reads()), ("changes by", of.change()), ("undoes by", of.undo())];
    let requests = all
        .into_iter()
        .flat_map(|(what, requests)| requests.iter().map(move |request| (what, request.to_string())));
    let path = of.path().as_str();
    let slash = if path.is_empty() { "" } else { "/" };
    FunctionView {
        name: name.to_owned(),
        effect: of.effect(),
        resource: format!("{}:NAME{slash}{path}", of.kind()),
        irrevocable_because: of.irrevocable_because().map(ToOwned::to_owned),
        requests: requests.collect(),
        secrets: of.secrets().iter().map(|pointer| pointer.as_str().to_owned()).collect(),
        sealed: of.sealed().to_vec(),
        compares: of.cas(),
    }
}

/// What only one of two connectors can do: `+` or `-`, the function, what it does, and the request.
pub fn connector_diff(old: &Inspection, new: &Inspection) -> Result<Vec<[String; 4]>, Error> {
    let all = |of: &Inspection| -> Result<BTreeSet<[String; 3]>, Error> {
        let description = described(of)?;
        let check = description.as_ref().and_then(Description::check);
        let check = check.map(|check| ["remit doctor".to_owned(), "reads".to_owned(), check.to_string()]);
        let rows = functions(description.as_ref()).into_iter().flat_map(|of| {
            let is = [of.name.clone(), "is".to_owned(), format!("{} on {}", of.effect, of.resource)];
            let sees = |what: &str, all: &[String]| -> Vec<[String; 3]> {
                all.iter().map(|one| [of.name.clone(), what.to_owned(), one.clone()]).collect()
            };
            let mut rows = vec![is];
            rows.extend(sees("does not see", &of.secrets));
            rows.extend(sees("gets sealed", &of.sealed));
            let requests = of.requests.into_iter();
            rows.extend(requests.map(|(what, request)| [of.name.clone(), what.to_owned(), request]));
            rows
        });
        Ok(rows.chain(check).collect())
    };
    let (old, new) = (all(old)?, all(new)?);
    let signed = |sign: &str, [function, what, request]: &[String; 3]| {
        [sign.to_owned(), function.clone(), what.clone(), request.clone()]
    };
    let added = new.difference(&old).map(|row| signed("+", row));
    Ok(added.chain(old.difference(&new).map(|row| signed("-", row))).collect())
}

impl Host {
    /// What a component that is kept here could do, as `remit inspect --json` prints it: an action, or a connector.
    pub fn inspect(&self, digest: Digest) -> Result<Box<RawValue>, Error> {
        let candidate = self.component(digest)?;
        let found = remit_sandbox::Inspection::of(&candidate)?;
        if found.is_connector() {
            let connector = self.kept_connector(digest)?;
            let publisher = PublisherView::of(&self.home, &candidate);
            return Ok(to_raw_value(&ConnectorView::of(connector.inspection()?, digest, publisher)?)?);
        }
        let setup = self.setup()?;
        Ok(to_raw_value(&InspectView::of(&self.home, &candidate, &found, &setup.registry)?)?)
    }

    /// How two components that are kept here differ, as `remit inspect --diff --json` prints it.
    pub fn inspect_diff(&self, old: Digest, new: Digest) -> Result<Box<RawValue>, Error> {
        let found = |digest| Ok::<_, Error>(remit_sandbox::Inspection::of(&self.component(digest)?)?);
        let (before, after) = (found(old)?, found(new)?);
        if before.is_connector() && after.is_connector() {
            let (before, after) = (self.kept_connector(old)?, self.kept_connector(new)?);
            return Ok(to_raw_value(&connector_diff(before.inspection()?, after.inspection()?)?)?);
        }
        Ok(to_raw_value(&DiffView::of(&before, &after))?)
    }

    /// A connector that is kept here: [`Self::component`] has said that it is there, and what its digest is.
    fn kept_connector(&self, digest: Digest) -> Result<Candidate, Error> {
        connectors::kept(&self.home, self.sandbox.engine(), digest)
    }
}
