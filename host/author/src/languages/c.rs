//! C: zig's clang for `wasm32-wasi`, with bindings generated at each build. An action that prints nothing and
//! asks for no time imports no WASI.

use crate::folder::Folder;
use crate::{AuthorError, bindings, tool, world};

/// The commands that install the tools for C.
pub(crate) const INSTALL: &str = "python3 -m venv .venv\n.venv/bin/pip install ziglang==0.17.1";
/// As zig and as its package on PyPI name the program.
pub(crate) const ZIG: [&str; 2] = ["zig", "python-zig"];

/// Compiles `src/*.c` to a core module.
pub(crate) fn build(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    let work = bindings::work(project)?;
    let generated = work.join("bindings");
    let (resolve, world) = world::sdk(world::of(&project.wit())?);
    let options = wit_bindgen_c::Opts {
        // The SDK's own names begin with `remit_`.
        rename: resolve.worlds[world]
            .imports
            .keys()
            .map(|key| renamed(&resolve.name_world_key(key)))
            .collect(),
        ..wit_bindgen_c::Opts::default()
    };
    bindings::generate(options.build().as_mut(), resolve, world, &generated)?;
    let sdk = bindings::sdk(project, &work)?;
    let module = work.join("action.wasm");

    let mut sources = files(&project.dir.join("src"), "c")?;
    sources.extend([
        sdk.join("src/remit.c"),
        sdk.join("src/domains.c"),
        sdk.join("cjson/cJSON.c"),
        generated.join("action.c"),
    ]);
    // The component's type, which the linker passes through to the module.
    sources.push(generated.join("action_component_type.o"));
    let mut zig = tool::command(project, &ZIG, "C", INSTALL)?;
    zig.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=gnu17", "-Os", "-s"])
        .args(["-Wall", "-Wextra", "-Wl,--gc-sections", "-Wl,-z,stack-size=262144"])
        .arg("-I")
        .arg(sdk.join("src"))
        .arg("-I")
        .arg(sdk.join("cjson"))
        .arg("-I")
        .arg(&generated)
        .args(&sources)
        .arg("-o")
        .arg(&module);
    tool::run(&mut zig, "C", INSTALL)?;
    bindings::made(&module)
}

/// An import, and its name in C: `wit_remit_secrets_rotate` for `remit:secrets/rotate@0.1.0`.
fn renamed(import: &str) -> (String, String) {
    let name = world::without_version(import).replace([':', '/', '-'], "_");
    (import.to_owned(), format!("wit_{name}"))
}

/// The files of a folder with this extension, in order of their names.
fn files(dir: &std::path::Path, extension: &str) -> Result<Vec<std::path::PathBuf>, AuthorError> {
    let failed = |error: std::io::Error| AuthorError::file(dir, &error);
    let found = remit_file::list(&std::path::absolute(dir).map_err(failed)?, remit_file::Kind::Source)?;
    let files = found.into_iter().map(|entry| entry.path);
    Ok(files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}
