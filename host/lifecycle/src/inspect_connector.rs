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

/// A component that was looked at, whoever signed it: an action, or a connector. Nothing of it runs.
#[derive(Debug)]
pub struct Looked {
    /// The component, with its signature.
    pub candidate: remit_sandbox::Candidate,
    /// What was found in it.
    pub found: remit_sandbox::Inspection,
    /// The same component as a connector, if it is one.
    connector: Option<Candidate>,
}

impl Host {
    /// Looks at a component that is kept here.
    pub fn look(&self, digest: Digest) -> Result<Looked, Error> {
        let candidate = self.component(digest)?;
        let found = remit_sandbox::Inspection::of(&candidate)?;
        let is_connector = found.is_connector();
        let connector = is_connector.then(|| connectors::kept(&self.home, self.sandbox.engine(), digest));
        Ok(Looked { candidate, found, connector: connector.transpose()? })
    }

    /// Looks at a component that was received, with its detached signature, or none. Nothing of it is kept.
    pub fn look_at_received(&self, bytes: &[u8], signature: &str) -> Result<Looked, Error> {
        self.home.while_received(bytes, signature, |path| {
            let candidate = remit_sandbox::Candidate::read(path)?;
            // Whoever is told of it named no file here.
            let name = format!("component {}", candidate.digest().short());
            let candidate = candidate.called(name.clone());
            let found = remit_sandbox::Inspection::of(&candidate)?;
            let read = || Ok::<_, Error>(Candidate::read(path)?.called(name));
            let connector = found.is_connector().then(read).transpose()?;
            Ok(Looked { candidate, found, connector })
        })
    }

    /// What a component could do, as `remit inspect --json` prints it.
    pub fn inspect_looked(&self, looked: &Looked) -> Result<Box<RawValue>, Error> {
        let Looked { candidate, found, connector } = looked;
        if let Some(connector) = connector {
            let publisher = PublisherView::of(&self.home, candidate);
            let view = ConnectorView::of(connector.inspection()?, candidate.digest(), publisher)?;
            return Ok(to_raw_value(&view)?);
        }
        let setup = self.setup()?;
        Ok(to_raw_value(&InspectView::of(&self.home, candidate, found, &setup.registry)?)?)
    }

    /// What a component that is kept here could do.
    pub fn inspect(&self, digest: Digest) -> Result<Box<RawValue>, Error> {
        self.inspect_looked(&self.look(digest)?)
    }

    /// How two components that are kept here differ, as `remit inspect --diff --json` prints it.
    pub fn inspect_diff(&self, old: Digest, new: Digest) -> Result<Box<RawValue>, Error> {
        self.look(new)?.since(&self.look(old)?)
    }
}

impl Looked {
    /// How it differs from another, as `remit inspect --diff --json` prints it.
    pub fn since(&self, old: &Self) -> Result<Box<RawValue>, Error> {
        if let (Some(old), Some(new)) = (&old.connector, &self.connector) {
            return Ok(to_raw_value(&connector_diff(old.inspection()?, new.inspection()?)?)?);
        }
        Ok(to_raw_value(&DiffView::of(&old.found, &self.found))?)
    }
}
