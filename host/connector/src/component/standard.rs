//! The host's own WIT: what a connector for an interface of `remit:*` has to be like.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use remit_engine::{Signatures, wit_package};
use remit_gate::Effect;

include!(concat!(env!("OUT_DIR"), "/standard.rs"));

/// The interfaces of this host that can have connectors, by name and version.
static INTERFACES: LazyLock<BTreeMap<String, Signatures>> = LazyLock::new(|| {
    let packages = PACKAGES.iter().filter_map(|package| wit_package(package).ok());
    packages.flatten().filter_map(|(name, functions)| Some((name, functions.ok()?))).collect()
});

/// Why an interface of `remit:*` is not as this host has it; none if it is, and none if it is another publisher's.
pub(super) fn differs(name: &str, functions: &Signatures) -> Option<String> {
    if !name.starts_with("remit:") {
        return None;
    }
    match INTERFACES.get(name) {
        None => Some(format!("this host has no interface {name}")),
        Some(own) if own != functions => Some(format!("its WIT of {name} is not that of this host")),
        Some(_) => None,
    }
}

/// The functions of an interface of this host, which the host serves itself where it is configured so.
#[must_use]
pub fn interface(name: &str) -> Option<Signatures> {
    INTERFACES.get(name).cloned()
}

/// The effect that the host's WIT gives a function; none if it is another publisher's.
#[must_use]
pub fn effect(operation: &str) -> Option<Effect> {
    let (_, effect) = EFFECTS.iter().find(|(name, _)| *name == operation)?;
    [Effect::Observe, Effect::Change, Effect::Irrevocable, Effect::Disclose]
        .into_iter()
        .find(|known| known.to_string() == *effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_packages_can_be_read() {
        let own = INTERFACES.get("remit:secrets/rotate@0.1.0").map(|own| own.0.len());
        assert_eq!((own, effect("remit:secrets/rotate.rotate")), (Some(1), Some(Effect::Change)));
        assert_eq!(differs("acme:doors/lock@0.1.0", &Signatures::default()), None);
        assert!(differs("remit:secrets/rotate@0.1.0", &Signatures::default()).is_some());
        assert!(differs("remit:nothing/here@0.1.0", &Signatures::default()).is_some());
    }
}
