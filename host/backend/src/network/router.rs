//! Every place behind one handle, which is all that operations see.

use std::path::Path;
use std::sync::Arc;

use remit_gate::{Failure, Resource};
use remit_journal::RunId;
use remit_text::{Mistake, Table};

use super::config::NetworkConfig;
use super::nftables::Nftables;
use super::place::{KIND, Traffic, TrafficView};
use super::played::PlayedTraffic;
use crate::routes::Routes;
use crate::{BackendError, Checked, Systems, Trouble};

/// Every place, by its name. Cheap to clone; a clone is part of the same run.
#[derive(Clone, Debug)]
pub struct Networks {
    routes: Routes<Reach>,
    /// The run that this is a part of.
    run: Option<RunId>,
}

/// A place that can be changed, or what a rehearsal has in its place.
enum Reach {
    Place(Arc<dyn Traffic>),
    Played(PlayedTraffic),
}

impl Networks {
    /// Places by their names.
    pub fn new(places: Vec<(String, Arc<dyn Traffic>)>) -> Result<Self, BackendError> {
        let places = places.into_iter().map(|(name, place)| (name, Arc::new(Reach::Place(place))));
        Ok(Self { routes: Routes::new(KIND, places.collect())?, run: None })
    }

    /// The same places for one rehearsal: it looks at them, and plays its cuts here.
    #[must_use]
    pub fn for_rehearsal(&self, run: RunId) -> Self {
        let routes = self.routes.map(|reach| {
            Arc::new(Reach::Played(match reach {
                Reach::Place(place) => PlayedTraffic::new(Arc::clone(place) as Arc<dyn TrafficView>),
                Reach::Played(played) => played.again(),
            }))
        });
        Self { routes, run: Some(run) }
    }

    /// The same places for one run.
    #[must_use]
    pub fn for_run(&self, run: RunId) -> Self {
        Self { routes: self.routes.clone(), run: Some(run) }
    }

    /// The run that this is a part of, which the rules of its cuts name.
    pub fn run(&self) -> Result<RunId, Failure> {
        self.run.ok_or_else(|| Failure::Invalid("a workload is cut by a run only".to_owned()))
    }

    /// What can be seen of the place of a workload.
    pub fn at(&self, resource: &Resource) -> Result<&dyn TrafficView, Failure> {
        Ok(match self.routes.at(resource)? {
            Reach::Place(place) => &**place,
            Reach::Played(played) => played,
        })
    }

    /// The place of a workload, to change it. A rehearsal has none.
    pub fn place(&self, resource: &Resource) -> Result<&dyn Traffic, Failure> {
        match self.routes.at(resource)? {
            Reach::Place(place) => Ok(&**place),
            Reach::Played(_) => Err(Failure::Denied(format!("a rehearsal does not change {resource}"))),
        }
    }

    /// Where a rehearsal plays its cuts; none in a run.
    #[must_use]
    pub fn played(&self, resource: &Resource) -> Option<&PlayedTraffic> {
        match self.routes.at(resource).ok()? {
            Reach::Place(_) => None,
            Reach::Played(played) => Some(played),
        }
    }
}

impl Systems for Networks {
    const SECTION: &'static str = "network";
    type Entry = NetworkConfig;

    fn read(entry: Table<'_>) -> Result<NetworkConfig, Mistake> {
        NetworkConfig::read(entry)
    }

    fn open(entries: &[NetworkConfig], _: &Path) -> Result<Self, BackendError> {
        let places = entries.iter().map(|entry| {
            let place = Nftables::open(entry);
            let place = place.map_err(|problem| problem.of(Self::SECTION, entry.name.clone()))?;
            Ok((entry.name.clone(), Arc::new(place) as Arc<dyn Traffic>))
        });
        Self::new(places.collect::<Result<_, BackendError>>()?)
    }

    async fn check(&self) -> Vec<Checked> {
        let mut checked = Vec::new();
        for (name, reach) in self.routes.iter() {
            let view: &dyn TrafficView = match reach {
                Reach::Place(place) => &**place,
                Reach::Played(played) => played,
            };
            let found = view.check().await.map_err(|failure| Trouble {
                fix: match failure {
                    Failure::Denied(_) => {
                        "install nftables and util-linux, and run Remit as root: docs/configuration.md has what it needs"
                    }
                    _ => "make the namespace, or correct the entry in remit.toml",
                },
                why: failure.to_string(),
            });
            checked.push(Checked { what: format!("{} {name}", Self::SECTION), found });
        }
        checked
    }
}
