//! Every database server behind one handle, which is all that operations see.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use remit_gate::{Failure, Resource};
use remit_text::{Mistake, Table};

use super::config::DatabaseConfig;
use super::played::Played;
use super::postgres::PostgreSql;
use super::server::{KIND, RoleServer, RoleView};
use crate::routes::Routes;
use crate::{BackendError, Checked, Systems};

/// Every server, by its name. Cheap to clone; a clone is part of the same run.
#[derive(Clone, Debug)]
pub struct Databases {
    routes: Routes<Reach>,
    /// The roles whose password this run has set.
    set: Arc<Mutex<BTreeSet<String>>>,
}

/// A server that can be changed, or what a rehearsal has in its place.
enum Reach {
    Server(Arc<dyn RoleServer>),
    Played(Played),
}

impl Databases {
    /// Servers by their names.
    pub fn new(servers: Vec<(String, Arc<dyn RoleServer>)>) -> Result<Self, BackendError> {
        let servers = servers.into_iter().map(|(name, server)| (name, Arc::new(Reach::Server(server))));
        Ok(Self { routes: Routes::new(KIND, servers.collect())?, set: Arc::default() })
    }

    /// The same servers for one rehearsal: it looks at them, and plays its changes here.
    #[must_use]
    pub fn for_rehearsal(&self) -> Self {
        let routes = self.routes.map(|reach| {
            Arc::new(Reach::Played(match reach {
                Reach::Server(server) => Played::new(Arc::clone(server) as Arc<dyn RoleView>),
                Reach::Played(played) => played.again(),
            }))
        });
        Self { routes, set: Arc::default() }
    }

    /// The same servers for one run.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { routes: self.routes.clone(), set: Arc::default() }
    }

    /// What can be seen of the server of a role.
    pub fn at(&self, resource: &Resource) -> Result<&dyn RoleView, Failure> {
        Ok(match self.routes.at(resource)? {
            Reach::Server(server) => &**server,
            Reach::Played(played) => played,
        })
    }

    /// The server of a role, to change it. A rehearsal has none.
    pub fn server(&self, resource: &Resource) -> Result<&dyn RoleServer, Failure> {
        match self.routes.at(resource)? {
            Reach::Server(server) => Ok(&**server),
            Reach::Played(_) => Err(Failure::Denied(format!("a rehearsal does not change {resource}"))),
        }
    }

    /// Where a rehearsal plays its changes of a role; none in a run.
    #[must_use]
    pub fn played(&self, resource: &Resource) -> Option<&Played> {
        match self.routes.at(resource).ok()? {
            Reach::Server(_) => None,
            Reach::Played(played) => Some(played),
        }
    }

    /// Whether this run has set the password of a role. Twice would leave no way to tell, in the middle of taking both back, which of
    /// them is back.
    #[must_use]
    pub fn has_set(&self, role: &Resource) -> bool {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).contains(role.path())
    }

    /// Notes that this run has, or may have, set the password of a role.
    pub fn note_set(&self, role: &Resource) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).insert(role.path().to_owned());
    }
}

impl Systems for Databases {
    const SECTION: &'static str = "databases";
    type Entry = DatabaseConfig;

    fn read(entry: Table<'_>) -> Result<DatabaseConfig, Mistake> {
        DatabaseConfig::read(entry)
    }

    fn open(entries: &[DatabaseConfig], home: &Path) -> Result<Self, BackendError> {
        let servers = entries.iter().map(|entry| {
            let server = PostgreSql::open(entry, home);
            let server = server.map_err(|problem| problem.of(Self::SECTION, entry.name.clone()))?;
            Ok((entry.name.clone(), Arc::new(server) as Arc<dyn RoleServer>))
        });
        Self::new(servers.collect::<Result<_, BackendError>>()?)
    }

    async fn check(&self) -> Vec<Checked> {
        let mut checked = Vec::new();
        for (name, reach) in self.routes.iter() {
            let view: &dyn RoleView = match reach {
                Reach::Server(server) => &**server,
                Reach::Played(played) => played,
            };
            let found = view.check().await.map_err(Into::into);
            checked.push(Checked { what: format!("{} {name}", Self::SECTION), found });
        }
        checked
    }
}
