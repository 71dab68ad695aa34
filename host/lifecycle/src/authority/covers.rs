//! Whether a standing scope is for an action.

use remit_journal::ActionRef;

use super::Which;

/// Whether a standing scope is for this action, by the publisher whose key has this id.
pub(super) fn covers(which: &Which, action: &ActionRef, by: Option<&str>) -> Result<(), String> {
    match which {
        Which::Digest(wanted) if wanted.digest == action.digest => Ok(()),
        Which::Digest(wanted) => {
            Err(format!("it is for {} {} ({})", wanted.name, wanted.version, wanted.digest))
        }
        Which::Published { publisher, name, versions } => {
            let version = semver::Version::parse(&action.version).ok();
            let same = by == Some(publisher)
                && action.name == *name
                && version.is_some_and(|version| versions.matches(&version));
            if same {
                Ok(())
            } else {
                Err(format!(
                    "it is for {name} {versions} by the publisher {}",
                    publisher.get(..12).unwrap_or("")
                ))
            }
        }
    }
}
