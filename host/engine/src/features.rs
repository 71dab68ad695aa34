//! The one table of WebAssembly features: the engine runs these, and examination names the others that a component needs.

use wasmparser::WasmFeatures;
use wasmtime::Config;

/// What the engine runs: WebAssembly 3.0 and the component model, without garbage collection, exceptions and threads, and
/// without the component model's unfinished features.
pub(crate) const RUNS: WasmFeatures = WasmFeatures::WASM3
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Names, for people, of features that do not run here.
const NAMES: &[(WasmFeatures, &str)] = &[
    (WasmFeatures::CM_ASYNC, "the component model's async"),
    (WasmFeatures::CM_ASYNC_STACKFUL, "the component model's stackful async"),
    (WasmFeatures::CM_MORE_ASYNC_BUILTINS, "more of the component model's async"),
    (WasmFeatures::CM_THREADING, "the component model's threads"),
    (WasmFeatures::CM_ERROR_CONTEXT, "the component model's error contexts"),
    (WasmFeatures::CM_FIXED_LENGTH_LISTS, "the component model's lists of fixed length"),
    (WasmFeatures::CM_GC, "garbage collection in the component model"),
    (WasmFeatures::CM_MAP, "the component model's maps"),
    (WasmFeatures::CM_VALUES, "the component model's values"),
    (WasmFeatures::CM_NESTED_NAMES, "the component model's nested names"),
    (WasmFeatures::CM_IMPLEMENTS, "the component model's `implements`"),
    (WasmFeatures::CM_CANON_NAMES, "the component model's version suffixes"),
    (WasmFeatures::CM64, "64-bit memories in the component model"),
    (WasmFeatures::GC_TYPES, "garbage collection"),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "the old form of exceptions"),
    (WasmFeatures::THREADS, "threads"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "threads that share everything"),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "pages of another size"),
    (WasmFeatures::CUSTOM_DESCRIPTORS, "custom descriptors"),
    (WasmFeatures::COMPACT_IMPORTS, "compact imports"),
];

/// Sets an engine to run [`RUNS`], and no other feature.
pub(crate) fn configure(config: &mut Config) {
    config.wasm_features(RUNS, true).wasm_features(RUNS.complement(), false);
}

/// The names of `features`.
pub(crate) fn names(features: WasmFeatures) -> Vec<String> {
    let named = NAMES.iter().filter(|(feature, _)| features.intersects(*feature));
    let mut names: Vec<String> = named.map(|(_, name)| (*name).to_owned()).collect();
    let known = NAMES.iter().fold(RUNS, |known, (feature, _)| known.union(*feature));
    let others = features.difference(known).iter_names();
    names.extend(others.map(|(name, _)| name.to_lowercase().replace('_', "-")));
    names
}

/// Every feature that does not run here, one by one.
pub(crate) fn others() -> impl Iterator<Item = WasmFeatures> {
    WasmFeatures::all().difference(RUNS).iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name() {
        for feature in others() {
            let names = names(feature);
            assert!(names.len() == 1 && NAMES.iter().any(|(_, name)| *name == names[0]), "{names:?}");
        }
        assert!(names(RUNS).is_empty());
    }
}
