//! Whether a standing scope is for an action.

use remit_journal::ActionRef;

use super::ActionSelector;

/// Whether a standing scope is for this action; if not, why. `publisher` is the id of the key that signed the action.
pub(crate) fn covers(
    which: &ActionSelector,
    action: &ActionRef,
    publisher: Option<&str>,
) -> Result<(), String> {
    match which {
        ActionSelector::Digest(wanted) if wanted.digest == action.digest => Ok(()),
        ActionSelector::Digest(wanted) => {
            Err(format!("it is for {} {} ({})", wanted.name, wanted.version, wanted.digest))
        }
        ActionSelector::Published { publisher: wanted, name, versions } => {
            let version = semver::Version::parse(&action.version).ok();
            let same = publisher == Some(wanted)
                && action.name == *name
                && version.is_some_and(|version| versions.matches(&version));
            if same {
                Ok(())
            } else {
                let key = wanted.get(..12).unwrap_or_default();
                Err(format!("it is for {name} {versions} by the publisher {key}"))
            }
        }
    }
}
