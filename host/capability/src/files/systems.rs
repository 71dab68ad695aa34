//! Directories that scopes can grant: how runs reach them, and how offline tests make them up.

use std::path::Path;

use remit_backend::files::{KIND, Node};
use remit_backend::{Files, FilesConfig, Systems as _};
use remit_file::Durable;
use remit_gate::{Estate, Failure, Mode, Resource, Scope};
use serde::{Deserialize, Serialize};

use crate::fixture::Offline;

/// A file of a directory that is made for the test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// As in a resource: `etc/app.conf`, which actions find at `/etc/app.conf`. The first segment is the name of a
    /// granted directory.
    path: String,
    content: String,
}

/// What a fixture expects of a file after the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// The path as in a resource: `etc/app.conf`.
    path: String,
    /// The expected content; none if there must be no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Whether generated values are in the content. It is another each time then, and not compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    generated: bool,
}

impl Offline for Files {
    const TABLE: &'static str = KIND;
    type Before = Before;
    type After = After;

    /// Each run reaches only the directories that its scope has a rule for.
    fn serve(self, estate: Estate) -> Estate {
        estate.with_per_run(self, |files: &Files, scope: &Scope, mode: Mode| {
            files.for_run(
                scope.first_segments(&["remit:files/read", "remit:files/write", "remit:files/render"]),
                mode == Mode::Rehearse,
            )
        })
    }

    fn path_before(before: &Before) -> &str {
        &before.path
    }

    fn path_after(after: &After) -> &str {
        &after.path
    }

    fn no_path(path: &str) -> Option<String> {
        match Resource::new(KIND, path) {
            Err(error) => Some(error.to_string()),
            Ok(_) if path.contains('/') => None,
            Ok(_) => Some(format!("{path}: write DIRECTORY/NAME, such as etc/app.conf")),
        }
    }

    async fn make_up(before: &[Before], folder: &Path) -> Result<Files, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Unavailable(error.to_string());
        let mut directories: Vec<FilesConfig> = Vec::new();
        for Before { path, content } in before {
            // A canonical path leads nowhere else.
            Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))?;
            let name = path.split('/').next().unwrap_or_default();
            if !directories.iter().any(|known| known.name == name) {
                directories.push(FilesConfig {
                    name: name.to_owned(),
                    path: folder.join(name),
                    reload: Vec::new(),
                });
            }
            let to = folder.join(path);
            std::fs::create_dir_all(to.parent().unwrap_or(folder)).map_err(|error| broken(&error))?;
            remit_file::write_with(&to, content.as_bytes(), Durable::No).map_err(|error| broken(&error))?;
        }
        // A home of the test's own: the directories must not lie in one.
        let files = Files::open(&directories, &folder.join(".home")).map_err(|error| broken(&error))?;
        Ok(files.remembering())
    }

    async fn look(&self, path: &str) -> Result<After, Failure> {
        let resource = Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))?;
        let (content, generated) = match self.snapshot(&resource).await {
            Ok(Node::File(file)) if self.is_generated(&file.content) => (None, true),
            Ok(Node::File(file)) => (Some(String::from_utf8_lossy(&file.content).into_owned()), false),
            Ok(_) | Err(Failure::NotFound(_)) => (None, false),
            Err(failure) => return Err(failure),
        };
        Ok(After { path: path.to_owned(), content, generated })
    }

    fn words(after: &After) -> String {
        match &after.content {
            _ if after.generated => "a file with generated values".to_owned(),
            Some(content) => format!("{content:?}"),
            None => "no such file".to_owned(),
        }
    }
}
