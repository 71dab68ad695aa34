//! New projects.

use std::fs;
use std::path::{Path, PathBuf};

use heck::{ToLowerCamelCase, ToSnakeCase, ToUpperCamelCase};
use include_dir::{Dir, include_dir};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::sample::Sample;
use crate::{AuthorError, Language, Project, files, tool, world};

/// The files that every project starts with, in any language.
static COMMON: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/template");

/// The options of a new project.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// The folder to make; its last part names the action.
    pub dir: PathBuf,
    /// The language that the action is written in.
    pub language: Language,
    /// What the action may ask for: `remit:secrets/rotate`, or `secrets/rotate` for short.
    pub capabilities: Vec<String>,
    /// Whether it is to be a connector, and not an action.
    pub connector: bool,
}

/// A project that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The files, relative to the folder, but for those of the SDK and the WIT that came along.
    pub files: Vec<PathBuf>,
    /// The action's name.
    pub name: String,
    /// What to type next, from where the folder was made: commands of a shell, to the first test that passes.
    pub next: Vec<String>,
}

/// One capability, as templates see it.
#[derive(Serialize)]
struct Capability {
    /// The interface without its version: `remit:secrets/rotate`.
    name: String,
    /// The interface as a WIT import: `remit:secrets/rotate@0.1.0`.
    import: String,
}

/// The values that templates can use.
#[derive(Serialize)]
struct Context<'a> {
    /// The action's name.
    name: &'a str,
    /// The capabilities that the action asks for.
    capabilities: &'a [Capability],
    /// The sample calls of these capabilities, with their inputs.
    #[serde(flatten)]
    sample: Sample,
    /// The language, as a person writes it.
    language: &'a str,
    /// The commands that install the tools of the language.
    install: &'a str,
}

/// Makes the folder, whole or not at all.
pub fn create(new: &NewProject) -> Result<Created, AuthorError> {
    let name = new.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !remit_manifest::is_name(&name) {
        return Err(AuthorError::Name { name });
    }
    let (reserved, what) = new.language.entry().reserved;
    let reserved = reserved.contains(&name.as_str()).then(|| what.to_owned());
    if let Some(why) = world::reserved(&name).or(reserved) {
        return Err(AuthorError::Reserved { name, language: new.language.entry().title, why });
    }
    let capabilities = capabilities(&new.capabilities)?;
    if new.dir.exists() {
        return Err(AuthorError::Exists { dir: new.dir.display().to_string() });
    }
    let parent = new.dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| AuthorError::file(parent, &error))?;
    let draft = parent.join(format!(".{name}.{}.new", std::process::id()));
    let made = fill(&draft, new, &name, &capabilities).and_then(|files| {
        fs::rename(&draft, &new.dir).map_err(|error| AuthorError::file(&new.dir, &error))?;
        Ok(files)
    });
    if made.is_err() {
        // What could not be finished leaves nothing behind.
        let _ = fs::remove_dir_all(&draft);
    }
    let files = made?;
    Ok(Created { files, name, next: next(new)? })
}

/// The commands that make a component of a new project, and a test of what it does. A tool that is not there is installed
/// first.
fn next(new: &NewProject) -> Result<Vec<String>, AuthorError> {
    let shown = new.dir.to_string_lossy();
    // Quoting fails for a NUL, which no path has.
    let dir = shlex::try_quote(&shown).unwrap_or_default();
    let mut commands = vec![format!("cd {dir}")];
    let project = Project::open(&new.dir)?;
    let entry = new.language.entry();
    if entry
        .tools
        .iter()
        .any(|names| tool::command(&project.folder(), names, entry.title, entry.install).is_err())
    {
        commands.extend(entry.install.lines().map(ToOwned::to_owned));
    }
    if new.connector {
        let component =
            format!("remit inspect {}", project.component().file_name().unwrap_or_default().display());
        commands.extend(["remit build".to_owned(), "remit test".to_owned(), component]);
    } else {
        commands.extend(["remit build", "remit test --record", "remit test"].map(ToOwned::to_owned));
    }
    Ok(commands)
}

fn capabilities(asked: &[String]) -> Result<Vec<Capability>, AuthorError> {
    let offered: Vec<(String, String)> = world::capabilities(&world::host())
        .into_iter()
        .map(|import| (world::without_version(&import).to_owned(), import))
        .collect();
    let mut found: Vec<Capability> = Vec::new();
    for text in asked {
        let bare = text.split('@').next().unwrap_or_default();
        let full = if bare.contains(':') { bare.to_owned() } else { format!("remit:{bare}") };
        let Some((name, import)) = offered.iter().find(|(name, _)| *name == full) else {
            let names: Vec<&str> = offered.iter().map(|(name, _)| name.as_str()).collect();
            let last = full.rsplit('/').next().unwrap_or_default();
            let nearest = names.iter().find(|name| name.rsplit('/').next() == Some(last));
            return Err(AuthorError::Capability {
                name: text.clone(),
                nearest: nearest.map(|name| (*name).to_owned()),
                all: names.join(", "),
            });
        };
        if !found.iter().any(|capability| capability.name == *name) {
            found.push(Capability { name: name.clone(), import: import.clone() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[expect(clippy::expect_used, reason = "the syntax is constant")]
fn fill(
    dir: &Path,
    new: &NewProject,
    name: &str,
    capabilities: &[Capability],
) -> Result<Vec<PathBuf>, AuthorError> {
    let entry = new.language.entry();
    let (sources, sdk): (Vec<_>, bool) = match (new.connector, entry.template, entry.connector) {
        (false, Some(template), _) => (files::below(&COMMON).chain(files::below(template)).collect(), true),
        (true, _, Some(template)) => (files::below(template.files).collect(), template.sdk),
        (is_connector, ..) => {
            let (language, names) = (entry.title, Language::names(is_connector));
            let what = if is_connector { "connector" } else { "action" };
            return Err(AuthorError::NoTemplate { what, language, names });
        }
    };
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    let mut templates = Environment::new();
    templates.set_syntax(syntax.build().expect("constant delimiters"));
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_filter("snake", |name: &str| name.to_snake_case());
    templates.add_filter("camel", |name: &str| name.to_lower_camel_case());
    templates.add_filter("pascal", |name: &str| name.to_upper_camel_case());
    let context = Value::from(Serde(Context {
        name,
        capabilities,
        sample: Sample::new(capabilities.iter().map(|capability| capability.import.as_str()))?,
        language: entry.title,
        install: entry.install,
    }));
    let mut written = Vec::new();
    for file in sources {
        let failed = |why: String| AuthorError::File { file: file.path().display().to_string(), why };
        let text = file.contents_utf8().ok_or_else(|| failed("not text".to_owned()))?;
        let text =
            templates.render_str(text, context.clone()).map_err(|error| failed(format!("{error:#}")))?;
        // A template that comes to nothing is not for this project.
        if text.trim().is_empty() {
            continue;
        }
        let path = dir.join(file.path());
        files::write(&path, text.as_bytes())?;
        written.push(file.path().to_owned());
    }
    if sdk {
        files::write_sdk(entry.sdk, &dir.join(files::SDK))?;
    }
    // The WIT of a connector is the host's, or that of its own packages.
    if !new.connector {
        let deps = dir.join("wit/deps");
        world::write_deps(&deps).map_err(|error| AuthorError::file(&deps, &error))?;
    }
    written.sort();
    Ok(written)
}
