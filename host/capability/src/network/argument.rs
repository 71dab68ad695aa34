//! What a guest can name: workloads.

use remit_backend::network::{KIND, Target};
use remit_gate::{Failure, Operation, Resource};

use crate::{CallError, Ctx};

impl Ctx {
    /// A workload: the place's name, and what it is there.
    pub(crate) fn workload<O: Operation>(&self, kind: &str, path: &str) -> Result<Resource, CallError> {
        let resource = self.resource::<O>(kind, path)?;
        match target(&resource) {
            Ok(_) => Ok(resource),
            Err(failure) => Err(self.refuse::<O>(path, &no_target(&failure))),
        }
    }
}

/// What the workload of a resource is.
pub(crate) fn target(workload: &Resource) -> Result<Target, Failure> {
    let (_, rest) = workload.path().split_once('/').unwrap_or_default();
    Target::parse(rest).map_err(Failure::Invalid)
}

/// Why nothing can have this path; none if something can.
pub(crate) fn no_path(path: &str) -> Option<String> {
    match Resource::new(KIND, path) {
        Err(error) => Some(error.to_string()),
        Ok(resource) => target(&resource).err().map(|failure| no_target(&failure)),
    }
}

/// The words of a failure, without its kind.
fn no_target(failure: &Failure) -> String {
    match failure {
        Failure::Invalid(why) => why.clone(),
        other => other.to_string(),
    }
}
