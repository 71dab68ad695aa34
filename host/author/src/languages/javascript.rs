//! JavaScript and TypeScript: esbuild bundles the sources, componentize-qjs adds the `QuickJS` engine.
//!
//! Not reproducible: the tool's snapshot of the started engine is not the same twice, and so neither is the
//! digest.

use crate::folder::Folder;
use crate::{AuthorError, bindings, tool, world};

mod declarations;
pub use declarations::javascript_name;

/// npm takes no project that is called as something that it depends on.
pub(crate) const RESERVED: (&[&str], &str) =
    (&["componentize-qjs", "esbuild", "typescript"], "a tool that the project is built with has it");
/// The commands that install the tools for JavaScript.
pub(crate) const INSTALL_JS: &str = "npm install --save-dev componentize-qjs@0.4.5 esbuild@0.28.2";
/// The commands that install the tools for TypeScript.
pub(crate) const INSTALL_TS: &str =
    "npm install --save-dev componentize-qjs@0.4.5 esbuild@0.28.2 typescript@7.0.2";

/// The source of a connector.
const CONNECTOR: &str = "src/connector.js";

/// Builds a component from `src/action.js`, or a connector's `src/connector.js`, and what it imports.
pub(crate) fn build_javascript(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    let entry = if project.dir.join(CONNECTOR).exists() { CONNECTOR } else { "src/action.js" };
    make(project, entry, "JavaScript", INSTALL_JS)
}

/// Builds a component from `src/action.ts`, once its types are right.
pub(crate) fn build_typescript(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    declarations::write(project, &bindings::work(project)?)?;
    let mut tsc = tool::command(project, &["tsc"], "TypeScript", INSTALL_TS)?;
    tool::run(tsc.args(["--noEmit", "--pretty", "false", "--project", "."]), "TypeScript", INSTALL_TS)?;
    make(project, "src/action.ts", "TypeScript", INSTALL_TS)
}

fn make(
    project: &Folder<'_>,
    entry: &str,
    language: &'static str,
    install: &str,
) -> Result<Vec<u8>, AuthorError> {
    let work = bindings::work(project)?;
    declarations::write(project, &work)?;
    let (bundle, component) = (work.join("action.js"), work.join("action.wasm"));

    // Unused parts of the SDK are left out, and with them their imports. tsconfig.json says where the SDK lies.
    let mut esbuild = tool::command(project, &["esbuild"], language, install)?;
    esbuild
        .args([entry, "--bundle", "--format=esm", "--target=es2023", "--log-level=warning"])
        .args(["--external:remit:*", "--external:wasi:*"])
        .arg(format!("--outfile={}", bundle.display()));
    tool::run(&mut esbuild, language, install)?;

    let mut componentize = tool::command(project, &["componentize-qjs"], language, install)?;
    componentize
        .args(["--sync", "--opt-size", "--wit"])
        .arg(bindings::wit(project, &work)?)
        .arg("--js")
        .arg(&bundle)
        .arg("--output")
        .arg(&component);
    // A connector has no WASI at all, not even what is recorded.
    if entry == CONNECTOR {
        componentize.arg("--stub-wasi");
    }
    tool::run(&mut componentize, language, install).map_err(|error| outside(project, error))?;
    bindings::made(&component)
}

/// The tool's way to say that the world does not import what the bundle does.
fn outside(project: &Folder<'_>, error: AuthorError) -> AuthorError {
    let AuthorError::ToolFailed { output, .. } = &error else { return error };
    let module = output.split("resolving module '").nth(1).and_then(|rest| rest.split('\'').next());
    match module.filter(|module| world::interfaces(&world::host()).iter().any(|known| known == module)) {
        Some(import) => world::outside(&project.wit(), import),
        None => error,
    }
}
