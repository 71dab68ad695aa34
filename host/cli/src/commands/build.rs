//! `remit build`.

use std::path::PathBuf;

use clap::Args;
use remit_author::{AuthorError, DESCRIPTION, Project};
use remit_connector::Description;

use super::common::Done;
use crate::print::{self, SlowNote, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit build\n  remit build plugins/rotate-secret --out rotate-secret.wasm"
)]
pub(crate) struct Build {
    /// The folder of the action or connector.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where to write the component [default: NAME.wasm in DIR].
    #[arg(long, value_name = "FILE.wasm")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(crate) fn run(self) -> Done {
        let project = Project::open(&self.dir)?;
        if let Some(text) = project.description() {
            // Before anything is compiled: every home checks it again when it admits the connector.
            Description::parse(text).map_err(|mistake| AuthorError::Connector {
                file: self.dir.join(DESCRIPTION).display().to_string(),
                why: mistake.to_string(),
            })?;
        }
        let note = SlowNote::start("building");
        let built = remit_author::build(&project, self.out.as_deref());
        drop(note);
        let built = built?;
        if self.json {
            print::json(&built)?;
            return Ok(0);
        }
        say!("built     {} {}", print::word(&built.name), built.version);
        say!("digest    {}", built.digest);
        say!("size      {} bytes", built.size);
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
