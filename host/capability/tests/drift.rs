//! The WIT, the operations and the table say the same. A host function without an operation would be a
//! way round the gate; this test is what notices it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use remit_capability::{Ctx, find, interfaces, operation};
use remit_gate::Effect;
use wasmtime::component::Linker;
use wit_parser::{Resolve, TypeDefKind, UnresolvedPackageGroup};

fn wit(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(folder)
}

/// Everything under `wit/`; the parts of WASI in the order of their dependencies.
fn resolve() -> Resolve {
    let mut resolve = Resolve::default();
    for folder in ["wasi/io", "wasi/clocks", "wasi/random", "wasi/filesystem", "wasi/cli"] {
        resolve.push_path(wit(folder)).unwrap();
    }
    let folders = std::fs::read_dir(wit("")).unwrap().map(|entry| entry.unwrap().path());
    let ours = folders.filter(|folder| !folder.ends_with("wasi"));
    let mut ours: Vec<_> = ours.map(|folder| UnresolvedPackageGroup::parse_dir(folder).unwrap()).collect();
    resolve.push_groups(ours.pop().unwrap(), ours).unwrap();
    resolve
}

/// What an action imports: every interface but the one it exports.
fn imports(resolve: &Resolve) -> BTreeMap<String, &wit_parser::Interface> {
    let named = resolve.interfaces.iter().filter_map(|(id, interface)| Some((resolve.id_of(id)?, interface)));
    named.filter(|(name, _)| !name.starts_with("remit:action/")).collect()
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
    let mut in_table: Vec<String> =
        interfaces().iter().map(remit_capability::Interface::import_name).collect();
    in_table.sort();
    assert_eq!(in_wit, in_table);
    for interface in interfaces() {
        assert_eq!(find(&interface.import_name()).map(|found| found.name), Some(interface.name));
        assert_eq!(
            interface.granted_by_scope(),
            interface.name.starts_with("remit:secrets/") && !interface.operations.is_empty()
        );
    }
}

#[test]
fn every_function_has_exactly_one_operation_of_its_documented_effect() {
    let resolve = resolve();
    let mut functions = 0;
    for (import, interface) in imports(&resolve) {
        let row = find(&import).unwrap();
        let mut operations: Vec<&str> = row.operations.iter().map(|operation| operation.name()).collect();
        operations.sort_unstable();
        if row.is_wasi() {
            // WASI's functions reach the run's own state; those that reach a clock are operations.
            for name in operations {
                let (_, function) = name.rsplit_once('.').unwrap();
                let known =
                    interface.functions.keys().any(|f| f == function || f.ends_with(&format!(".{function}")));
                assert!(known, "{name} is not in {import}");
                assert_eq!(operation(name).unwrap().effect(), Effect::Observe);
            }
            continue;
        }
        let mut expected: Vec<String> =
            interface.functions.keys().map(|f| format!("{}.{f}", row.name)).collect();
        expected.sort();
        assert_eq!(operations, expected, "operations of {import}");
        for (name, function) in &interface.functions {
            let operation = operation(&format!("{}.{name}", row.name)).unwrap();
            let documented = documented_effect(function.docs.contents.as_deref().unwrap_or_default());
            assert_eq!(documented, Some(operation.effect().to_string()), "effect of {}", operation.name());
            functions += 1;
        }
    }
    assert_eq!(functions, 7);
}

#[test]
fn a_row_shows_the_strongest_effect_of_its_operations() {
    let rank = |effect: Effect| match effect {
        Effect::Observe => 0,
        Effect::Change => 1,
        Effect::Disclose => 2,
        Effect::Irrevocable => 3,
    };
    for row in interfaces() {
        let strongest =
            row.operations.iter().map(|operation| operation.effect()).max_by_key(|effect| rank(*effect));
        assert_eq!(row.effect, strongest.unwrap_or(Effect::Observe), "{}", row.name);
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
    for row in interfaces() {
        row.link(&mut linker).unwrap();
    }
}

#[test]
fn only_wasi_has_compatible_versions() {
    assert!(find("remit:secrets/rotate@0.1.0").is_some());
    for other in
        ["remit:secrets/rotate", "remit:secrets/rotate@0.1.1", "remit:secrets/rotate@0.1", "wasi:io/poll"]
    {
        assert!(find(other).is_none(), "{other}");
    }
    assert!(find("wasi:io/poll@0.2.0").is_some());
    for other in
        ["wasi:io/poll@0.3.0", "wasi:io/poll@0.2.", "wasi:io/poll@0.2.0-rc", "wasi:sockets/tcp@0.2.0"]
    {
        assert!(find(other).is_none(), "{other}");
    }
}
