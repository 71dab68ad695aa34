//! The connectors of a home: those of its configuration, and those of a recorded run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_backend::Databases;
use remit_backend::accounts::{AccountsConfig, KIND};
use remit_capability::Registry;
use remit_capability::accounts::Accounts;
use remit_capability::connected::{Boxed, Call, Connector, Facts, Found, Played};
use remit_connector::component::{Candidate, Connected, standard_interface};
use remit_connector::{Description, Entry, Origin};
use remit_engine::{Engine, Publishers, Signatures};
use remit_gate::{Authority, Failure, Prepared, Scope, State};
use remit_journal::ConnectorRef;
use remit_trust::Digest;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Config, Error, Home, Host, components};

/// The file of an entry's component: in the home's store, if the entry names it by its digest.
pub(crate) fn file(home: &Home, entry: &Entry) -> PathBuf {
    match entry.component.parse::<Digest>() {
        Ok(digest) => components::file(home, digest),
        Err(_) => home.path().join(&entry.component),
    }
}

/// Opens and admits the connector of an entry. Nothing is compiled, and nobody is contacted.
pub(crate) fn open(
    home: &Home,
    entry: &Entry,
    publishers: &Publishers,
    engine: &Arc<Engine>,
) -> Result<Connected, Error> {
    let origin = Arc::new(Origin::open(entry, home.path()).map_err(Box::new)?);
    let path = file(home, entry);
    let candidate: Candidate = engine.find(&path)?;
    if let Ok(digest) = entry.component.parse::<Digest>() {
        is_of(&candidate, digest, &path)?;
    }
    Ok(Connected::admit(engine, candidate, publishers, entry, origin)?)
}

/// Opens what serves accounts by the host itself. Nobody is contacted.
pub(crate) fn accounts(home: &Home, entry: &AccountsConfig, config: &Config) -> Result<Accounts, Error> {
    Ok(Accounts::open(entry, config.entries::<Databases>(), home.path(), standard_interface)?)
}

/// A connector that is kept here, by its digest.
pub(crate) fn kept(home: &Home, engine: &Engine, digest: Digest) -> Result<Candidate, Error> {
    let path = components::file(home, digest);
    let candidate: Candidate = engine.find(&path)?;
    is_of(&candidate, digest, &path)?;
    // Whoever is told of it is not always at the home, and never named this file.
    Ok(candidate.called(format!("component {}", digest.short())))
}

/// Whether a kept component is the one that its file is named after.
fn is_of(candidate: &Candidate, digest: Digest, path: &Path) -> Result<(), Error> {
    if candidate.digest() == digest {
        return Ok(());
    }
    Err(Error::ChangedComponent { digest, file: path.display().to_string(), found: candidate.digest() })
}

/// The connectors that a run can reach within a scope: each whose resources a rule for one of its interfaces may name.
pub(crate) fn reached(registry: &Registry, scope: &Scope) -> Vec<ConnectorRef> {
    let mut reached = BTreeMap::new();
    for allow in &scope.allow {
        let Some(served) =
            registry.named(allow.interface().0).and_then(|interface| interface.served.as_ref())
        else {
            continue;
        };
        for (instance, by) in &served.by {
            let under = format!("{}:{instance}", served.kind);
            if allow.resources.iter().any(|pattern| pattern.may_touch(&under)) {
                reached.insert(instance.clone(), by.reference().clone());
            }
        }
    }
    reached.into_values().collect()
}

/// What differs between the connectors that a request names and those of now, in words; none if nothing does.
pub(crate) fn difference(approved: &[ConnectorRef], now: &[ConnectorRef]) -> Option<String> {
    if approved == now {
        return None;
    }
    let find = |all: &[ConnectorRef], name: &str| all.iter().find(|of| of.instance == name).cloned();
    let mut names: Vec<&str> = approved.iter().chain(now).map(|of| of.instance.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().find_map(|name| {
        let was = match (find(approved, name), find(now, name)) {
            (was, is) if was == is => return None,
            (None, _) => "is not one that it was approved with".to_owned(),
            (Some(_), None) => "is not configured any more".to_owned(),
            (Some(was), Some(is)) if words(&was) == words(&is) => {
                "was approved with another `config` or other interfaces than it has now".to_owned()
            }
            (Some(was), Some(is)) => format!("was approved as {}, and is now {}", words(&was), words(&is)),
        };
        Some(format!("the connector `{name}` {was}"))
    })
}

/// `npm-tokens 0.1.0 (sha256:…, by the key …) at https://registry.npmjs.org`.
#[must_use]
pub fn words(of: &ConnectorRef) -> String {
    let ConnectorRef { component, publisher, origin, .. } = of;
    if publisher.is_empty() {
        return format!("{} of Remit itself at {origin}", component.name);
    }
    let key = publisher.get(..12).unwrap_or(publisher);
    format!(
        "{} {} ({}, by the key {key}) at {origin}",
        component.name,
        component.version,
        component.digest.short()
    )
}

impl Home {
    /// The kinds of resources that the connectors of the configuration serve, for policies. One that cannot be read serves none:
    /// wherever it is needed, that is an error.
    pub(crate) fn kinds_of_connectors(&self) -> BTreeSet<String> {
        let Ok(config) = self.load() else { return BTreeSet::new() };
        let cache = self.look_into_cache();
        let found = config.connectors.iter().filter_map(|entry| {
            let candidate = Candidate::find(&file(self, entry), cache.as_ref()).ok()?;
            Description::parse(&candidate.inspection().ok()?.description).ok()
        });
        let kinds = |of: Description| of.functions().map(|(_, of)| of.kind().to_owned()).collect::<Vec<_>>();
        let own = config.accounts.first().map(|_| KIND.to_owned());
        found.flat_map(kinds).chain(own).collect()
    }
}

impl Host {
    /// Keeps the components of these connectors, because an undo needs them even when others are configured.
    pub(crate) fn keep_connectors(&self, reached: &[ConnectorRef]) -> Result<(), Error> {
        let setup = self.setup()?;
        let stand_ins = self.watched.stand_ins();
        // Of the host's own there is no component that could be another one later.
        let own = |of: &ConnectorRef| setup.accounts.iter().any(|own| own.reference() == of);
        let kept = |of: &&ConnectorRef| !own(of) && !stand_ins.iter().any(|one| one.reference() == *of);
        for of in reached.iter().filter(kept) {
            let now = setup.connectors.iter().find(|now| now.reference() == of);
            let now = now.ok_or_else(|| Error::ConnectorChanged {
                why: format!("the connector `{}` was changed meanwhile", of.instance),
            })?;
            components::keep(self, now.candidate())?;
        }
        Ok(())
    }

    /// The connector that a recorded run reached, to look at what it changed and to take it back: the component of then, as the
    /// entry of now sends its requests.
    pub(crate) fn connector_of_then(&self, of: &ConnectorRef) -> Arc<dyn Connector> {
        if let Some(stand_in) = self.watched.stand_ins().into_iter().find(|one| one.reference() == of) {
            return stand_in;
        }
        self.find_connector(of).unwrap_or_else(|error| {
            let why = format!("the connector `{}`, through which it was made, {error}", of.instance);
            tracing::warn!("{why}");
            Arc::new(Gone { of: of.clone(), why, interfaces: BTreeMap::new() })
        })
    }

    fn find_connector(&self, of: &ConnectorRef) -> Result<Arc<dyn Connector>, String> {
        let setup = self.setup().map_err(|error| format!("cannot be used: {error}"))?;
        if of.publisher.is_empty() {
            return own_of_then(&setup.accounts, of);
        }
        let entry = setup.config.connectors.iter().find(|entry| entry.name == of.instance);
        let entry = entry.ok_or("is not in remit.toml any more: put its [[connector]] back")?;
        let origin = Origin::open(entry, self.home.path()).map_err(|error| error.to_string())?;
        if origin.address() != of.origin {
            return Err(format!(
                "sent its requests to {}, and remit.toml has {}: set it back, or undo the change by hand",
                of.origin,
                origin.address()
            ));
        }
        if origin.config_digest().map_err(|error| error.to_string())? != of.config {
            return Err(
                "had another `config` in remit.toml: set it back, or undo the change by hand".to_owned()
            );
        }
        let same = |now: &&Arc<Connected>| {
            let ConnectorRef { instance, component, .. } = now.reference();
            (instance, component.digest) == (&of.instance, of.component.digest)
        };
        if let Some(now) = setup.connectors.iter().find(same) {
            return Ok(now.clone());
        }
        let then = || {
            let engine = self.sandbox.engine();
            let candidate = kept(&self.home, engine, of.component.digest)?;
            Ok::<_, Error>(Connected::readmit(engine, candidate, of, entry, Arc::new(origin))?)
        };
        let then = then()
            .map_err(|error| format!("was {}, which is not kept here: {error}", of.component.digest))?;
        Ok(Arc::new(then))
    }
}

/// What served accounts by the host itself, where a run changed something of them.
fn own_of_then(accounts: &[Arc<Accounts>], of: &ConnectorRef) -> Result<Arc<dyn Connector>, String> {
    let now = accounts.iter().find(|now| now.reference().instance == of.instance);
    let now = now.ok_or("is not in remit.toml any more, or cannot be opened: put its [[accounts]] back")?;
    let ConnectorRef { component, origin, config, .. } = now.reference();
    if (&component.digest, origin, config) != (&of.component.digest, &of.origin, &of.config) {
        return Err(format!(
            "was {} with other settings in remit.toml than now: set them back, or undo the change by hand",
            words(of)
        ));
    }
    Ok(Arc::clone(now) as Arc<dyn Connector>)
}

/// A connector that is not there any more: whatever is asked of it fails, and says why.
#[derive(Debug)]
struct Gone {
    of: ConnectorRef,
    why: String,
    interfaces: BTreeMap<String, Signatures>,
}

impl Gone {
    fn fail<T>(&self) -> Result<T, Failure> {
        Err(Failure::Unavailable(self.why.clone()))
    }
}

impl Connector for Gone {
    fn reference(&self) -> &ConnectorRef {
        &self.of
    }

    fn interfaces(&self) -> &BTreeMap<String, Signatures> {
        &self.interfaces
    }

    fn function(&self, _: &str) -> Option<Facts<'_>> {
        None
    }

    fn observe<'a>(&'a self, _: &'a Call, _: Vec<Played>) -> Boxed<'a, Value> {
        Box::pin(async { self.fail() })
    }

    fn prepare<'a>(&'a self, _: &'a Call, _: Vec<Played>) -> Boxed<'a, Prepared<Found>> {
        Box::pin(async { self.fail() })
    }

    fn perform<'a>(&'a self, _: &'a Call, _: &'a Prepared<Found>, _: Authority<'a>) -> Boxed<'a, Value> {
        Box::pin(async { self.fail() })
    }

    fn state<'a>(&'a self, _: &'a Call, _: &'a Prepared<Found>, _: Option<&'a RawValue>) -> Boxed<'a, State> {
        Box::pin(async { self.fail() })
    }

    fn undo<'a>(
        &'a self,
        _: &'a Call,
        _: &'a Prepared<Found>,
        _: Option<&'a RawValue>,
        _: Authority<'a>,
    ) -> Boxed<'a, ()> {
        Box::pin(async { self.fail() })
    }
}
