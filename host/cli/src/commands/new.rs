//! `remit new`.

use std::path::PathBuf;

use clap::Args;
use remit_author::{Language, NewProject, create};

use super::common::Done;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit new rotate-api-key --lang rust --capability secrets/inspect --capability secrets/rotate\n  \
                  remit new acme-accounts --connector --lang toml"
)]
pub(crate) struct New {
    /// The folder to create. Its last part is the name.
    name: PathBuf,
    /// The language to write it in: rust, c, python, typescript, javascript or go; a connector: rust, javascript, or toml, which
    /// takes no code where one read tells a state and one request changes it.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// A capability that it uses, such as secrets/rotate. May be repeated. Without any, it can only log.
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    capability: Vec<String>,
    /// Make a connector, not an action: a component that serves an interface for one system with an HTTP API.
    #[arg(long, conflicts_with = "capability")]
    connector: bool,
}

impl New {
    pub(crate) fn run(self) -> Done {
        let new = NewProject {
            dir: self.name,
            language: self.lang,
            capabilities: self.capability,
            connector: self.connector,
        };
        let created = create(&new)?;
        let dir = new.dir.display();
        say!("made      {dir}   {} in {}", print::word(&created.name), new.language);
        for file in &created.files {
            say!("          {dir}/{}", file.display());
        }
        for (n, command) in created.next.iter().enumerate() {
            say!("{}{command}", if n == 0 { "next      " } else { "          " });
        }
        Ok(0)
    }
}
