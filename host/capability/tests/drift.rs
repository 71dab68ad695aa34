//! The WIT, the operations and the registry say the same. A host function without an operation would be a
//! way round the gate; this test is what notices it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use remit_capability::domain::AnySystems;
use remit_capability::{BUILT_IN, Ctx, Interface, domains, systems};
use remit_gate::Effect;
use wasmtime::component::Linker;
use wit_parser::{Resolve, TypeDefKind, UnresolvedPackageGroup};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// Every package there is: of the domains, and of WASI.
fn resolve() -> Resolve {
    let mut folders = Vec::new();
    for packages in ["wit", "wit/wasi"] {
        folders.extend(std::fs::read_dir(folder(packages)).unwrap().map(|entry| entry.unwrap().path()));
    }
    folders.retain(|folder| !folder.ends_with("wasi"));
    if cfg!(feature = "test-domain") {
        folders.push(folder("tests/domain/wit"));
    }
    let packages = folders.iter().map(|folder| UnresolvedPackageGroup::parse_dir(folder).unwrap()).collect();
    let mut resolve = Resolve::default();
    let main = UnresolvedPackageGroup::parse("main.wit", "package remit:drift;").unwrap();
    resolve.push_groups(main, packages).unwrap();
    resolve
}

/// What an action imports: every interface but the one it exports.
fn imports(resolve: &Resolve) -> BTreeMap<String, &wit_parser::Interface> {
    let named = resolve.interfaces.iter().filter_map(|(id, interface)| Some((resolve.id_of(id)?, interface)));
    // What connectors export, and what only they import; and the packages that only connectors serve.
    let others = ["remit:action/", "remit:connector/"];
    let served =
        |name: &str| domains().iter().any(|domain| name.starts_with(&format!("remit:{}/", domain.name)));
    named
        .filter(|(name, _)| !others.iter().any(|other| name.starts_with(other)))
        .filter(|(name, _)| name.starts_with("wasi:") || served(name))
        .collect()
}

fn documented_effect(docs: &str) -> Option<String> {
    let (_, rest) = docs.split_once("Effect: ")?;
    Some(rest.chars().take_while(char::is_ascii_lowercase).collect())
}

#[test]
fn every_interface_has_exactly_one_row() {
    let resolve = resolve();
    let imports = imports(&resolve);
    let in_wit: Vec<&str> = imports.keys().map(String::as_str).collect();
    let mut in_registry: Vec<String> = BUILT_IN.interfaces().map(Interface::import_name).collect();
    in_registry.sort();
    assert_eq!(in_wit, in_registry);
    for interface in BUILT_IN.interfaces() {
        assert_eq!(BUILT_IN.find(&interface.import_name()).map(|found| &found.name), Some(&interface.name));
    }
}

#[test]
fn a_domain_is_one_package_and_its_systems_have_kinds_of_their_own() {
    let mut names = BTreeSet::new();
    let mut kinds = BTreeMap::new();
    for domain in domains() {
        assert!(names.insert(domain.name), "{} is there twice", domain.name);
        for interface in domain.interfaces {
            let package = format!("remit:{}/", domain.name);
            assert!(interface.wasi == (domain.name == "wasi"), "{}", interface.name);
            assert!(interface.wasi || interface.name.starts_with(&package), "{}", interface.name);
            if let Some(kind) = &interface.kind {
                assert!(domain.systems.is_some(), "{} reaches no system", interface.name);
                assert_eq!(*kinds.entry(&**kind).or_insert(domain.name), domain.name, "{kind}");
            }
        }
    }
    let tables: BTreeSet<&str> = systems().map(AnySystems::table).collect();
    assert_eq!(tables, kinds.keys().copied().collect(), "fixtures have a table for each kind");
    let sections: BTreeSet<&str> = systems().map(AnySystems::section).collect();
    assert_eq!(sections.len(), systems().count());
}

/// What no scope names reaches nothing but the run, and its documentation says so: what makes projects for authors reads it
/// there.
#[test]
fn ambient_operations_are_those_that_no_scope_grants() {
    for (import, interface) in imports(&resolve()) {
        let row = BUILT_IN.find(&import).unwrap();
        if !row.wasi && !interface.functions.is_empty() {
            let documented =
                interface.docs.contents.as_deref().unwrap_or_default().contains("Needs no grant");
            assert_eq!(documented, !row.granted_by_scope(), "{import}");
        }
    }
    for interface in BUILT_IN.interfaces().chain(BUILT_IN.granted()) {
        for operation in &*interface.operations {
            assert_eq!(operation.ambient, !interface.granted_by_scope(), "{}", operation.name);
            assert!(!operation.ambient || operation.effect == Effect::Observe, "{}", operation.name);
        }
    }
}

#[test]
fn every_function_has_exactly_one_operation_of_its_documented_effect() {
    let resolve = resolve();
    for (import, interface) in imports(&resolve) {
        let row = BUILT_IN.find(&import).unwrap();
        let mut operations: Vec<&str> = row.operations.iter().map(|operation| &*operation.name).collect();
        operations.sort_unstable();
        if row.wasi {
            // WASI's functions reach the run's own state; those that reach a clock are operations.
            for name in operations {
                let (_, function) = name.rsplit_once('.').unwrap();
                let known =
                    interface.functions.keys().any(|f| f == function || f.ends_with(&format!(".{function}")));
                assert!(known, "{name} is not in {import}");
                assert_eq!(BUILT_IN.operation(name).unwrap().effect, Effect::Observe);
            }
            continue;
        }
        let mut expected: Vec<String> =
            interface.functions.keys().map(|f| format!("{}.{f}", row.name)).collect();
        expected.sort();
        assert_eq!(operations, expected, "operations of {import}");
        for (name, function) in &interface.functions {
            let operation = BUILT_IN.operation(&format!("{}.{name}", row.name)).unwrap();
            let documented = documented_effect(function.docs.contents.as_deref().unwrap_or_default());
            assert_eq!(documented, Some(operation.effect.to_string()), "effect of {}", operation.name);
        }
    }
}

#[test]
fn a_row_says_what_granting_it_means() {
    for row in BUILT_IN.interfaces().chain(BUILT_IN.granted()) {
        assert!(!row.risk.is_empty() && !row.risk.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn our_resources_are_only_wasis() {
    // A handle is authority that outlives its call: none of our own interfaces gives one out.
    for (_, ty) in &resolve().types {
        if matches!(ty.kind, TypeDefKind::Resource) {
            let name = ty.name.as_deref().unwrap();
            let known = [
                "error",
                "pollable",
                "input-stream",
                "output-stream",
                "terminal-input",
                "terminal-output",
                // Of these none is made but for a directory that a scope grants, and what is done by one is
                // decided by the gate each time.
                "descriptor",
                "directory-entry-stream",
            ];
            assert!(known.contains(&name), "{name}");
        }
    }
}

#[test]
fn all_rows_link_side_by_side() {
    let engine = wasmtime::Engine::default();
    let mut linker = Linker::<Ctx>::new(&engine);
    for row in BUILT_IN.interfaces() {
        row.link(&mut linker).unwrap();
    }
}

#[test]
fn only_wasi_has_compatible_versions() {
    assert!(BUILT_IN.find("remit:secrets/rotate@0.1.0").is_some());
    for other in
        ["remit:secrets/rotate", "remit:secrets/rotate@0.1.1", "remit:secrets/rotate@0.1", "wasi:io/poll"]
    {
        assert!(BUILT_IN.find(other).is_none(), "{other}");
    }
    assert!(BUILT_IN.find("wasi:io/poll@0.2.0").is_some());
    for other in
        ["wasi:io/poll@0.3.0", "wasi:io/poll@0.2.", "wasi:io/poll@0.2.0-rc", "wasi:sockets/tcp@0.2.0"]
    {
        assert!(BUILT_IN.find(other).is_none(), "{other}");
    }
}
