//! What a component could do, read from its bytes alone. Nothing of it runs, nothing is compiled.

use remit_capability::{BUILT_IN, Interface, Registry};
use remit_engine::{ComponentError, Examination, Flaw, Inspect, MIB, Task, World, examine};
use remit_manifest::{Manifest, ManifestError, SECTION};
use serde::{Deserialize, Serialize};

use crate::error::AdmissionError;
use crate::import::{Import, NotOffered};

/// The world of actions; `build.rs` encodes it from the WIT.
static WORLD: World = World {
    component: include_bytes!(concat!(env!("OUT_DIR"), "/offered.wasm")),
    contract: "remit:action/remediation@0.1.0",
    section: SECTION,
    sections: None,
    serves: |import| BUILT_IN.find(import).map(Interface::import_name),
};

/// Inspects a component: from its bytes to an [`Inspection`] in JSON. The limits are such that the inspection of the
/// largest file, with the process that reads it, stays below 512 MiB and ten seconds.
pub(crate) static INSPECT: Task = Task {
    name: "inspect",
    purpose: "to inspect it",
    memory: 192 * MIB,
    seconds: 8,
    answer: 64 * MIB,
    announced: false,
    work: |bytes| serde_json::to_vec(&inspect(bytes)?).map_err(|error| Flaw::Host(error.to_string())),
};

/// The longest error of a manifest, in columns: it repeats text of the manifest.
const LONGEST_ERROR: usize = 800;

/// A component file that may be an action.
pub type Candidate = remit_engine::Candidate<Inspection>;

impl Inspect for Inspection {
    const TASK: &'static Task = &INSPECT;
}

/// What a component says of itself, and what it imports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// The component's name, or `unnamed`.
    pub name: String,
    /// The component's version, or `0.0.0`.
    pub version: String,
    /// The component's size in bytes.
    pub size: usize,
    /// The component's manifest; none if it has none.
    pub manifest: Option<Manifest>,
    /// Every import, in the component's order.
    pub imports: Vec<Import>,
    /// The name of every exported function and instance, in the component's order.
    pub exports: Vec<String>,
    /// The WebAssembly features it needs that do not run here.
    pub needs: Vec<String>,
    /// Why it is not an action, if it is none: the export of the contract is missing, or is of another type.
    pub not_an_action: Option<String>,
    too_much: Option<String>,
    misfit: Option<String>,
    odd_export: Option<String>,
}

fn inspect(bytes: &[u8]) -> Result<Inspection, Flaw> {
    let found = examine(bytes, &WORLD)?;
    let manifest = found.section.as_deref().map(|section| Manifest::from_section(section, ""));
    Ok(Inspection::new(manifest.transpose().map_err(manifest_flaw)?, found))
}

fn manifest_flaw(error: ManifestError) -> Flaw {
    let short = |why: String| remit_text::short_line(&why, LONGEST_ERROR).into_owned();
    Flaw::Section(match error {
        ManifestError::Malformed { why, .. } => short(why),
        ManifestError::Schema { why, .. } => format!("[input] is not a JSON Schema: {}", short(why)),
    })
}

impl Inspection {
    fn new(manifest: Option<Manifest>, mut found: Examination) -> Self {
        let import = |name: String| Import { functions: found.unserved.remove(&name), name };
        let imports = found.imports.into_iter().map(import).collect();
        Self {
            name: found.name,
            version: found.version,
            size: found.size,
            manifest,
            imports,
            exports: found.exports,
            needs: found.needs,
            not_an_action: found.not_of_the_world,
            too_much: found.too_much,
            misfit: found.misfit,
            odd_export: found.odd_export,
        }
    }

    /// Inspects a component; once, however often it is called.
    pub fn of(candidate: &Candidate) -> Result<Self, AdmissionError> {
        Ok(candidate.inspection()?.clone())
    }

    /// The capabilities that it imports and that its manifest does not explain.
    #[must_use]
    pub fn unexplained<'a>(&'a self, registry: &'a Registry) -> Vec<&'a str> {
        let Some(manifest) = &self.manifest else { return Vec::new() };
        let granted = self.offered(registry).filter(|i| i.granted_by_scope());
        granted.map(|i| &*i.name).filter(|name| !manifest.capabilities.contains_key(*name)).collect()
    }

    /// Whether it exports the contract of an action.
    #[must_use]
    pub fn is_action(&self) -> bool {
        self.not_an_action.is_none()
    }

    /// Whether it exports the contract of connectors.
    #[must_use]
    pub fn is_connector(&self) -> bool {
        self.exports.iter().any(|export| export.starts_with("remit:connector/operations@"))
    }

    /// The interfaces that it imports and that a home offers.
    pub fn offered<'a>(&'a self, registry: &'a Registry) -> impl Iterator<Item = &'a Interface> {
        self.imports.iter().filter_map(|import| registry.find(&import.name))
    }

    /// Every reason why no host of this version runs the component in a home with this registry, with any signature. Admission refuses with the
    /// first of them; `remit inspect` shows all. `file` names the component.
    #[must_use]
    pub fn obstacles(&self, file: &str, registry: &Registry) -> Vec<AdmissionError> {
        let file = || file.to_owned();
        let mut obstacles = Vec::new();
        if !self.needs.is_empty() {
            obstacles.push(ComponentError::Feature { file: file(), needs: self.needs.join(", ") }.into());
        }
        if let Some(why) = &self.not_an_action {
            obstacles.push(AdmissionError::NotAnAction { file: file(), why: why.clone() });
        }
        let unknown: Vec<_> =
            self.imports.iter().filter_map(|import| NotOffered::of(import, registry)).collect();
        if !unknown.is_empty() {
            obstacles.push(AdmissionError::Unknown { file: file(), imports: unknown });
        }
        let mismatch = |why: &String| ComponentError::Mismatch { file: file(), why: why.clone() }.into();
        obstacles.extend(self.misfit.as_ref().map(mismatch));
        let connected = self.imports.iter().find_map(|import| import.misfit(registry));
        obstacles.extend(connected.as_ref().map(mismatch));
        if let Some(what) = &self.too_much {
            obstacles.push(ComponentError::TooMuch { file: file(), what: what.clone() }.into());
        }
        obstacles.extend(self.odd_export.as_ref().map(mismatch));
        obstacles
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// An import with a function that no interface has is a misfit only where the interface is offered.
    #[test]
    fn everything_in_the_table_is_offered() {
        for interface in BUILT_IN.interfaces() {
            let name = interface.import_name();
            let text =
                format!(r#"(component (import "{name}" (instance (export "no-such-function" (func)))))"#);
            assert!(examined(&text).misfit.is_some_and(|why| why.contains("no-such-function")), "{name}");
        }
    }

    fn examined(text: &str) -> Inspection {
        inspect(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn an_action_is_recognised_by_the_type_of_its_export() {
        let export = |what: &str| {
            let text = format!(
                r#"(component (component $c (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f"))) {what})
                    (instance $x (instantiate $c)) (export "remit:action/remediation@0.1.0" (instance $x)))"#
            );
            examined(&text).not_an_action.unwrap()
        };
        assert!(export("").contains("missing expected export `run`"), "{}", export(""));
        let other = export(r#"(export "run" (func $f)) (export "verify" (func $f))"#);
        assert!(other.contains("type mismatch in instance export `run`"), "{other}");
        let none = examined("(component)").not_an_action.unwrap();
        assert_eq!(none, "it does not export remit:action/remediation@0.1.0");
    }

    #[test]
    fn an_import_of_another_type_is_reported() {
        let import = |import: &str| examined(&format!("(component (import {import}))")).misfit;
        assert_eq!(
            import(r#""wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))"#),
            None
        );
        assert_eq!(import(r#""wasi:random/random@0.2.0" (instance)"#), None);
        let other =
            import(r#""wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u32))))"#);
        assert!(other.unwrap().starts_with("type mismatch for import `wasi:random/random@0.2.0`"));
        let more =
            import(r#""wasi:random/random@0.2.0" (instance (export "get-random-u65" (func (result u64))))"#);
        assert!(more.unwrap().contains("get-random-u65"));
        // What is not offered at all is not a misfit.
        assert_eq!(import(r#""acme:a/b@1.0.0" (instance (export "c" (func)))"#), None);
    }

    /// What connectors could serve, and what they cannot.
    #[test]
    fn an_interface_of_a_publishers_own_is_read_by_its_types() {
        let import = |text: &str| {
            let mut found =
                examined(&format!(r#"(component (import "acme:a/b@1.0.0" (instance {text})))"#)).imports;
            found.remove(0)
        };
        let types = import(r#"(type $t (enum "x")) (export "e" (type (eq $t)))"#);
        // It is let in where its package is served.
        assert!(types.is_types_only() && !types.is_offered(&BUILT_IN));
        for (ty, what) in [
            ("f32", "a float"),
            ("(stream u8)", "a stream"),
            ("(future u8)", "a future"),
            ("(map string u8)", "a map"),
            ("(list u8 3)", "a list of fixed length"),
        ] {
            let found = import(&format!(r#"(type $t {ty}) (export "f" (func (param "x" $t)))"#));
            let why = found.functions.clone().unwrap().unwrap_err();
            assert!(why.contains(what) && !found.is_offered(&BUILT_IN), "{ty}: {why}");
        }
        let resource = import(r#"(export "r" (type (sub resource)))"#);
        assert!(resource.functions.unwrap().unwrap_err().contains("resource"));
        // A type that is thousands of types in a few bytes.
        let twice = |n: usize| format!("(type $t{n} (tuple $t{0} $t{0}))", n - 1);
        let bomb: String = (1..14).map(twice).collect();
        let bomb = import(&format!(r#"(type $t0 u8) {bomb} (export "f" (func (param "x" $t13)))"#));
        assert!(bomb.functions.unwrap().unwrap_err().contains("too many types"));
    }

    #[test]
    fn an_import_that_is_exported_again_is_reported() {
        let odd = |text: &str| examined(text).odd_export;
        let import = r#"(import "wasi:random/random@0.2.0" (instance $i (export "get-random-u64" (func (result u64)))))"#;
        assert!(
            odd(&format!(r#"(component {import} (export "a:b/c" (instance $i)))"#))
                .unwrap()
                .contains("`a:b/c`")
        );
        let bag = r#"(alias export $i "get-random-u64" (func $f)) (instance $x (export "g" (func $f))) (export "a:b/c" (instance $x))"#;
        assert!(odd(&format!("(component {import} {bag})")).unwrap().contains("`a:b/c`"));
        assert_eq!(odd(&format!("(component {import})")), None);
        let types = r#"(component (import "wasi:io/error@0.2.0" (instance $i (export "error" (type (sub resource))))) (export "a:b/c" (instance $i)))"#;
        assert_eq!(odd(types), None);
        assert_eq!(
            odd(r#"(component (component $c) (export "c" (component $c)))"#).unwrap(),
            "it exports a component"
        );
    }

    #[test]
    fn missing_features_are_named() {
        let needs = |text: &str| examined(text).needs;
        assert_eq!(needs("(component (core module (func (param v128))))"), [""; 0]);
        assert_eq!(needs("(component (core module (func (param externref))))"), ["garbage collection"]);
        assert_eq!(needs("(component (core module (tag)))"), ["exceptions"]);
        assert_eq!(needs("(component (core module (memory 1 1 shared)))"), ["threads"]);
        assert_eq!(needs("(component (type (stream u8)))"), ["the component model's async"]);
        assert_eq!(needs("(component (type (map string u8)))"), ["the component model's maps"]);
        let two = needs("(component (type (future u8)) (core module (tag) (memory 1 1 shared)))");
        assert_eq!(two, ["the component model's async", "exceptions", "threads"]);
    }

    #[test]
    fn a_name_is_shown_escaped() {
        let found = examined("(component $\"žlu\\u{202e}ť\")");
        assert_eq!(found.name, "žlu\\u{202e}ť");
    }
}
