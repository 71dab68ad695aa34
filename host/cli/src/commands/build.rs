//! `remit build`.

use std::path::PathBuf;

use clap::Args;
use remit_author::Project;
use remit_trust::Digest;
use serde_json::json;

use super::common::Done;
use crate::print::{self, Patience, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit build\n  remit build plugins/rotate-secret --out rotate-secret.wasm"
)]
pub(crate) struct Build {
    /// The action's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where to write the component; otherwise NAME.wasm in the folder.
    #[arg(long, value_name = "FILE.wasm")]
    out: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(crate) fn run(self) -> Done {
        let project = Project::open(&self.dir)?;
        let patience = Patience::with("building");
        let built = remit_author::build(&project, self.out.as_deref());
        drop(patience);
        let built = built?;
        let digest = Digest::of(&built.component);
        let (name, version) = (&project.manifest.name, &project.manifest.version);
        if self.json {
            print::json(&json!({
                "name": name, "version": version, "language": project.language.name(),
                "file": built.file, "digest": digest, "size": built.component.len(),
                "imports": built.imports, "unused": built.unused,
            }))?;
            return Ok(0);
        }
        say!("built     {} {}", print::word(name), version);
        say!("digest    {digest}");
        say!("size      {} bytes", built.component.len());
        for (n, import) in built.imports.iter().filter(|import| import.starts_with("remit:")).enumerate() {
            say!("{}{}", if n == 0 { "imports   " } else { "          " }, print::word(import));
        }
        let wasi = built.imports.iter().filter(|import| import.starts_with("wasi:")).count();
        if wasi > 0 {
            say!("          and {wasi} of WASI, for its runtime");
        }
        say!("wrote     {}", built.file.display());
        for unused in &built.unused {
            print::warn(&format!("note: action.toml explains {unused}, and the action does not use it"));
        }
        Ok(0)
    }
}
