//! `remit install`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use remit_lifecycle::Home;

use super::common::Done;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "An installed action starts at once, even a large one: it is already compiled.\n\nExample:\n  remit install rotate-secret.wasm"
)]
pub(crate) struct Install {
    /// The signed actions (.wasm).
    #[arg(required = true)]
    actions: Vec<PathBuf>,
}

impl Install {
    pub(crate) fn run(self, home: &Home) -> Done {
        // Checks every file before it compiles the first.
        let candidates =
            self.actions.iter().map(|file| home.candidate(file)).collect::<Result<Vec<_>, _>>()?;
        // Draws to stderr, and only if it is a terminal.
        let bar = ProgressBar::new(candidates.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {bar:20} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        for candidate in &candidates {
            bar.set_message(print::word(candidate.shown()));
            let since = Instant::now();
            let installed = remit_lifecycle::install(home, candidate)?;
            bar.inc(1);
            bar.suspend(|| {
                say!("installed {} {}", print::word(&installed.name), print::word(&installed.version));
                say!("digest    {}", candidate.digest());
                say!("size      {} bytes, ready in {:.1} s", installed.size, since.elapsed().as_secs_f64());
            });
        }
        bar.finish_and_clear();
        Ok(0)
    }
}
