//! `[[files]]` of `remit.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use remit_gate::Resource;
use remit_text::Mistake;
use remit_text::Table;
use serde::Deserialize;

use super::limits::KIND;
use super::reload::{Reload, ReloadConfig};
use super::roots::Files;
use crate::error::BackendError;
use crate::systems::{Checked, Systems, Trouble};

/// A directory of this machine that scopes can grant, and its name in resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The first segment of its resources: `etc` for `file:etc/app.conf`. Actions find it at `/etc`.
    pub name: String,
    /// The absolute path of the directory.
    pub path: PathBuf,
    /// What is run after a change of a file of it.
    #[serde(skip)]
    pub reload: Vec<ReloadConfig>,
}

impl Systems for Files {
    const SECTION: &'static str = "files";
    type Entry = FilesConfig;

    fn read(mut entry: Table<'_>) -> Result<FilesConfig, Mistake> {
        let reload = entry.entries("reload")?.into_iter().map(|entry| entry.rest("a [[files.reload]]"));
        let reload = reload.collect::<Result<_, _>>()?;
        Ok(FilesConfig { reload, ..entry.rest("a directory of [[files]]")? })
    }

    /// Opens every directory, for as long as this lives: the only use of ambient authority. One that cannot
    /// be opened fails when it is used, and not the repairs that have no part in it. `home` is Remit's own.
    fn open(entries: &[FilesConfig], home: &Path) -> Result<Self, BackendError> {
        let home = std::fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
        let mut roots = BTreeMap::new();
        let mut taken: Vec<(&str, PathBuf)> = Vec::new();
        let mut reloads = Vec::new();
        for FilesConfig { name, path, reload } in entries {
            let wrong = |setting, why: String| {
                Err(BackendError::setting(setting, why)
                    .of(Self::SECTION, format!("`{}`", name.escape_debug())))
            };
            if name.contains('/') || Resource::new(KIND, name).is_err() {
                return wrong("name", format!("`{}` is not one plain segment", name.escape_debug()));
            }
            if !path.is_absolute() {
                return wrong("path", format!("{} is not absolute", path.display()));
            }
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            // A run that can write there could write the journal and the keys.
            if home.starts_with(&real) || real.starts_with(&home) {
                return wrong("path", format!("{} and Remit's own home lie in each other", path.display()));
            }
            // Two names for one file would be two answers to one question.
            let overlap = |(_, other): &&(&str, PathBuf)| other.starts_with(&real) || real.starts_with(other);
            if let Some((other, _)) = taken.iter().find(overlap) {
                return wrong("path", format!("the directories of `{other}` and `{name}` lie in each other"));
            }
            taken.push((name, real));
            for config in reload {
                let of = |error: BackendError| error.of(Self::SECTION, format!("`{}`", name.escape_debug()));
                reloads.push((name, Reload::new(name, config).map_err(of)?));
            }
            let root = Dir::open_ambient_dir(path, ambient_authority())
                .map_err(|error| format!("{}: {error}", path.display()));
            if roots.insert(name.clone(), root).is_some() {
                return wrong("name", format!("two entries are named `{name}`"));
            }
        }
        // Whoever may write there would be whoever Remit runs as.
        let written = |reload: &Reload| taken.iter().find(|(_, root)| reload.lies_in(root));
        if let Some((name, (other, _))) =
            reloads.iter().find_map(|(name, reload)| Some((name, written(reload)?)))
        {
            let why = format!("the program lies in the directory of `{other}`, in which runs may write");
            return Err(BackendError::setting("reload.command", why)
                .of(Self::SECTION, format!("`{}`", name.escape_debug())));
        }
        Ok(Self::new(roots, reloads.into_iter().map(|(_, reload)| reload).collect()))
    }

    async fn check(&self) -> Vec<Checked> {
        let checked = self.roots().map(|(name, opened)| Checked {
            what: format!("{} {name}", Self::SECTION),
            found: match opened {
                Ok(()) => Ok("the directory can be opened".to_owned()),
                Err(why) => Err(Trouble {
                    why: why.to_owned(),
                    fix: "make the directory, or correct its entry in remit.toml",
                }),
            },
        });
        checked.chain(self.reloads().iter().map(Reload::check)).collect()
    }
}
