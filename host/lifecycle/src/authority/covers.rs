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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use remit_trust::Digest;

    use super::*;

    #[test]
    fn a_standing_scope_is_for_one_action_or_for_a_publishers_versions() {
        let action = |name: &str, version: &str| ActionRef {
            digest: Digest::of(b"component"),
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let good = action("rotate", "1.2.3");
        let one = ActionSelector::Digest(good.clone());
        assert_eq!(covers(&one, &action("another", "9.0.0"), None), Ok(()), "only the digest counts");
        let other = ActionRef { digest: Digest::of(b"another"), ..good.clone() };
        assert!(covers(&one, &other, None).unwrap_err().starts_with("it is for rotate 1.2.3 (sha256:"));
        let versions = semver::VersionReq::parse("^1.2").unwrap();
        let publisher = "0123456789abcdef".to_owned();
        let any =
            ActionSelector::Published { publisher: publisher.clone(), name: "rotate".to_owned(), versions };
        assert_eq!(covers(&any, &other, Some(&publisher)), Ok(()));
        let why = Err("it is for rotate ^1.2 by the publisher 0123456789ab".to_owned());
        assert_eq!(covers(&any, &good, None), why);
        assert_eq!(covers(&any, &good, Some("fedcba9876543210")), why);
        assert_eq!(covers(&any, &action("another", "1.2.3"), Some(&publisher)), why);
        assert_eq!(covers(&any, &action("rotate", "2.0.0"), Some(&publisher)), why);
        assert_eq!(covers(&any, &action("rotate", "new"), Some(&publisher)), why);
    }
}
