//! What a guest can name: servers, their roles, and databases.

use remit_backend::databases::KIND;
use remit_gate::{Operation, Resource};

use crate::{CallError, Ctx};

/// The longest name of a database, in bytes: so many a server keeps.
const MAX_DATABASE: usize = 63;

impl Ctx {
    /// A role: the server's name, and the role's.
    pub(super) fn role<O: Operation>(&self, path: &str) -> Result<Resource, CallError> {
        let resource = self.resource::<O>(KIND, path)?;
        if path.split('/').count() != 2 {
            return Err(self.refuse::<O>(path, "a role is SERVER/ROLE, such as main/app"));
        }
        Ok(resource)
    }

    /// A whole server.
    pub(super) fn server<O: Operation>(&self, place: &str) -> Result<Resource, CallError> {
        let resource = self.resource::<O>(KIND, place)?;
        if place.contains('/') {
            return Err(self.refuse::<O>(place, "a server is named by itself, such as main"));
        }
        Ok(resource)
    }

    /// The name of a database that can be shown in a plan and a journal as it is.
    pub(super) fn database<O: Operation>(&self, database: String) -> Result<String, CallError> {
        let why = if database.is_empty() {
            "a database's name cannot be empty"
        } else if database.len() > MAX_DATABASE {
            "a database's name cannot be longer than 63 bytes"
        } else if database.contains(remit_text::hides) {
            "a database's name cannot have control characters or others that are not seen"
        } else {
            return Ok(database);
        };
        Err(self.refuse::<O>(&database, why))
    }
}

/// The role of a resource that [`Ctx::role`] made; the whole path of any other, which is no role's name.
pub(super) fn name(role: &Resource) -> &str {
    role.path().split_once('/').map_or(role.path(), |(_, name)| name)
}
