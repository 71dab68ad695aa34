//! Rust: cargo and the `wasm32-unknown-unknown` target. The result has no WASI import at all.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::folder::Folder;
use crate::{AuthorError, bindings, tool};

const TARGET: &str = "wasm32-unknown-unknown";
/// The commands that install the tools for Rust.
pub(crate) const INSTALL: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh\nrustup target add wasm32-unknown-unknown";
/// The SDK is a package beside the project's own; no code could name a crate that is called as a word of the language.
pub(crate) const RESERVED: (&[&str], &str) = (
    &[
        "remit-sdk",
        "abstract",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "crate",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "pub",
        "ref",
        "return",
        "self",
        "static",
        "struct",
        "super",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
    ],
    "it is a word of Rust, or the SDK's own package",
);
const ADD_TARGET: &str = "rustup target add wasm32-unknown-unknown";

/// The line of cargo's JSON output that names what was made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Compiles the project to a core module.
pub(crate) fn build(project: &Folder<'_>) -> Result<Vec<u8>, AuthorError> {
    let manifest = project.dir.join("Cargo.toml");
    let cargo = remit_text::env::var("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        // A guest is small and built in seconds: a third off its size is worth the whole-program build.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_ENCODED_RUSTFLAGS", flags())
        .envs(project.environment.iter().cloned());
    let printed = tool::run(&mut command, "Rust", INSTALL).map_err(without_target)?;
    // Depending on its version, Cargo prints its path as given, with links, or resolved.
    let resolved = |path: &Path| fs::canonicalize(path).map_err(|error| AuthorError::file(path, &error));
    let manifest = resolved(&manifest)?;
    let module = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && is_same(&message.manifest_path, &manifest))
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .ok_or_else(|| AuthorError::NotAProject {
            dir: project.dir.display().to_string(),
            why: "its Cargo.toml makes no module; it needs `[lib] crate-type = [\"cdylib\"]`".to_owned(),
        })?;
    bindings::made(&module)
}

/// Cargo tells the path as it was given, links and all.
fn is_same(told: &Path, manifest: &Path) -> bool {
    fs::canonicalize(told).is_ok_and(|told| told == manifest)
}

/// A guest has a quarter of a megabyte from its start, which the SDK's allocator takes before it asks for more: most never
/// do. To grow a memory, every core that runs a thread of the host has to be interrupted.
const HEAP: &str = "-Clink-arg=--initial-heap=262144";

/// [`HEAP`], and what keeps this machine's directories out of the panic messages, so that the same source gives the same
/// digest for everyone: sources of the project's workspace are named relative to it by cargo itself. The flags are the same
/// for every project, because cargo builds all dependencies again when they change. They are encoded: a path may hold spaces.
fn flags() -> OsString {
    let mut flags = OsString::from(HEAP);
    let home = remit_text::env::var("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| remit_text::env::var("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    if let Some(home) = home {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(home);
        flags.push("=cargo");
    }
    flags
}

/// The compiler's way to say that the target is missing is a screen long; this is one line.
fn without_target(error: AuthorError) -> AuthorError {
    match error {
        AuthorError::ToolFailed { output, .. }
            if output.contains(TARGET) && output.contains("can't find crate for `") =>
        {
            AuthorError::ToolMissing {
                tool: format!("Rust's standard library for {TARGET}"),
                language: "Rust",
                install: ADD_TARGET.to_owned(),
            }
        }
        other => other,
    }
}
