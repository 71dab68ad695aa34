//! The guests that are measured, built as everyone builds them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds them; answers where they are.
pub fn build(target: &Path) -> PathBuf {
    let names = ["measure", "misbehave", "rotate-secret", "rotate-secret-python", "lamps"];
    let plugins = target.join("plugins");
    if std::env::var_os("REMIT_PLUGINS").is_some()
        && names.iter().all(|name| plugins.join(format!("{name}.wasm")).exists())
    {
        return plugins;
    }
    eprintln!("building the guests: {}", names.join(", "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["xtask", "plugins"])
        .args(names)
        .env("CARGO_TARGET_DIR", target)
        .current_dir(tree())
        .stdout(std::io::stderr())
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the guests were not built");
    plugins
}

/// Where Remit's tree is.
pub fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the tree")
}
