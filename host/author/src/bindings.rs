//! What a build lays down for a language's tool: the SDK, and bindings made from the host's own WIT.

use std::fs;
use std::path::{Path, PathBuf};

use remit_file::Kind;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::{Resolve, WorldId};

use crate::folder::Folder;
use crate::{AuthorError, files, world};

/// The folder where a build leaves what it made on the way, absolute. It is kept: editors look there, and
/// tools find what they need not do again.
pub(crate) fn work(project: &Folder<'_>) -> Result<PathBuf, AuthorError> {
    let dir = project.dir.join("build");
    fs::create_dir_all(&dir)
        .and_then(|()| std::path::absolute(&dir))
        .map_err(|error| AuthorError::file(&dir, &error))
}

/// The SDK's folder: the project's own, or without one this Remit's, written below `work`.
pub(crate) fn sdk(project: &Folder<'_>, work: &Path) -> Result<PathBuf, AuthorError> {
    let own = project.dir.join(files::SDK);
    if own.exists() {
        return std::path::absolute(&own).map_err(|error| AuthorError::file(&own, &error));
    }
    let dir = work.join("sdk");
    files::write_sdk(project.sdk, &dir)?;
    Ok(dir)
}

/// The folder with the project's world and all that it refers to: the project's own, or without `deps` in it
/// a copy below `work` that has the host's.
pub(crate) fn wit(project: &Folder<'_>, work: &Path) -> Result<PathBuf, AuthorError> {
    let own = project.wit();
    let failed = |error: std::io::Error| AuthorError::file(&own, &error);
    if own.join("deps").exists() {
        return std::path::absolute(&own).map_err(failed);
    }
    let dir = work.join("wit");
    world::write_deps(&dir.join("deps")).map_err(failed)?;
    for entry in remit_file::list(&own, Kind::Source)? {
        files::copy(&entry.path, &dir.join(entry.name))?;
    }
    Ok(dir)
}

/// Reads the component that a tool made.
pub(crate) fn made(component: &Path) -> Result<Vec<u8>, AuthorError> {
    Ok(remit_file::plain(component, Kind::Component)?.into_bytes())
}

/// Generates bindings for a world that has all that an action can ask for into `dir`. What a built action really
/// imports is what its code calls: the linker drops the rest.
pub(crate) fn generate(
    generator: &mut dyn WorldGenerator,
    mut resolve: Resolve,
    world: WorldId,
    dir: &Path,
) -> Result<(), AuthorError> {
    let mut made = Files::default();
    generator
        .generate(&mut resolve, world, &mut made)
        .map_err(|error| AuthorError::Wit { dir: "the SDK's WIT".to_owned(), why: format!("{error:#}") })?;
    for (name, contents) in made.iter() {
        files::write(&dir.join(name), contents)?;
    }
    Ok(())
}
