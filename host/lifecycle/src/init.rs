//! Makes homes.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use remit_journal::Journal;
use remit_text::toml::value;
use remit_tlog::NoteSigner;
use remit_trust::principals::{PrincipalKind, Principals};
use remit_trust::{Key, Sealer, Sign as _, VerifyingKey, private_seed};

use crate::{Config, Error, Home};

/// The result of [`Home::init`].
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The path of the configuration file.
    pub config: PathBuf,
    /// The journal's public key, to be kept on another machine.
    pub log_key: String,
    /// Whether the rules were signed, which needs the administrator's private key.
    pub signed: bool,
}

/// The options of [`Home::init`].
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// The journal's name in its signed checkpoints.
    pub log: String,
    /// The public key files of the publishers whose actions may run.
    pub publishers: Vec<PathBuf>,
    /// The administrator's key file. With a private key, the rules are signed at once.
    pub admin: Option<PathBuf>,
    /// The principals that the home begins with.
    pub principals: Vec<InitPrincipal>,
}

/// A principal that a home begins with.
#[derive(Clone, Debug)]
pub struct InitPrincipal {
    /// The principal's name.
    pub name: String,
    /// Whether the principal is a person or software.
    pub kind: PrincipalKind,
    /// The names of the principal's groups.
    pub groups: Vec<String>,
    /// The path of the principal's public key file.
    pub key: PathBuf,
}

/// What a key is trusted for. The keys of each role have their own folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Publisher,
    Admin,
    Principal,
}

impl Role {
    fn folder(self) -> &'static str {
        match self {
            Self::Publisher => "keys/publishers",
            Self::Admin => "keys/admins",
            Self::Principal => "keys/principals",
        }
    }

    /// Whether one key may have both roles. A person may be an administrator and a principal. A publisher may be neither, and
    /// two principals cannot share a key.
    fn goes_with(self, other: Self) -> bool {
        matches!((self, other), (Self::Admin, Self::Principal) | (Self::Principal, Self::Admin))
    }
}

/// A key that a home is to trust.
struct Trusted<'a> {
    role: Role,
    /// Whose key it is, in errors: `the principal alice`.
    holder: String,
    key: VerifyingKey,
    /// The file that it was read from.
    from: &'a Path,
    /// The path where it is kept, relative to the home: the folder of the role, and a name with the key's id. The name of the
    /// original file is in it for people only.
    kept: PathBuf,
}

#[derive(Default)]
struct Trust<'a>(Vec<Trusted<'a>>);

impl<'a> Trust<'a> {
    /// Adds a key. Returns the path where it is kept.
    fn add(&mut self, role: Role, label: &str, key: VerifyingKey, from: &'a Path) -> Result<PathBuf, Error> {
        let id = key.id();
        let holder = match role {
            Role::Publisher => format!("the publisher {label}"),
            Role::Admin => "the administrator".to_owned(),
            Role::Principal => format!("the principal {label}"),
        };
        for other in self.0.iter().filter(|other| other.key.id() == id) {
            // A publisher that is given twice counts once.
            if role == Role::Publisher && other.role == role {
                return Ok(other.kept.clone());
            }
            if !role.goes_with(other.role) {
                return Err(Error::InitOptions {
                    why: format!(
                        "{holder} ({}) has the same key as {} ({}): {}",
                        from.display(),
                        other.holder,
                        other.from.display(),
                        id.short()
                    ),
                });
            }
        }
        let label: String =
            label.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(64).collect();
        let label = if label.is_empty() { "key" } else { &label };
        let kept = Path::new(role.folder()).join(format!("{label}-{}.pub", id.short()));
        if let Some(other) = self.0.iter().find(|other| other.kept == kept) {
            return Err(Error::InitOptions {
                why: format!(
                    "{} and {} hold different keys, and both would be kept as {}",
                    other.from.display(),
                    from.display(),
                    kept.display()
                ),
            });
        }
        self.0.push(Trusted { role, holder, key, from, kept: kept.clone() });
        Ok(kept)
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

impl Home {
    /// Makes a home: directory (mode 0700), configuration, rules, the host's keys, and an empty journal. The given public keys
    /// are copied into it and trusted. If there is a home already, this is an error and nothing is changed.
    pub fn init(&self, options: &InitOptions) -> Result<Initialised, Error> {
        self.check_path()?;
        let shown = || self.path().display().to_string();
        if self.config().exists() {
            return Err(Error::HomeExists { home: shown(), what: "a configuration" });
        }
        // All options are checked before anything is written.
        let log = &options.log;
        let mut trust = Trust::default();
        let mut publishers = Vec::new();
        for file in &options.publishers {
            let key = VerifyingKey::load_publisher(file)?;
            let kept = trust.add(Role::Publisher, &stem(file), key, file)?;
            if !publishers.contains(&kept) {
                publishers.push(kept);
            }
        }
        let (mut admin, mut admins) = (None, Vec::new());
        if let Some(file) = &options.admin {
            let key = match Key::load(file)? {
                Key::Public(key) => key,
                Key::Private(signer) => admin.insert(*signer).verifying_key(),
            };
            admins.push(trust.add(Role::Admin, &stem(file), key, file)?);
        }
        let mut principals = String::from(PRINCIPALS);
        // The same principals with their keys in the text, to check them before the key files exist.
        let mut inline = String::new();
        for (n, principal) in options.principals.iter().enumerate() {
            let InitPrincipal { name, kind, groups, key: file } = principal;
            if let Some(other) = options.principals[..n].iter().find(|other| other.name == *name) {
                return Err(Error::InitOptions {
                    why: format!(
                        "two principals are called {name}, by {} and by {}",
                        other.key.display(),
                        file.display()
                    ),
                });
            }
            let key = VerifyingKey::load(file)?;
            let public = key.to_text();
            let kept = trust.add(Role::Principal, name, key, file)?;
            let entry = format!(
                "\n[[principal]]\nname   = {}\nkind   = {}\ngroups = {}\n[[principal.key]]\n",
                value(name.as_str()),
                value(kind.to_string()),
                value(groups.clone()),
            );
            let _ = writeln!(principals, "{entry}file   = {}", value(kept.display().to_string()));
            let _ = writeln!(inline, "{entry}public = {}", value(public));
        }
        Principals::parse(&inline, "the principals given", Path::new("."))?;
        NoteSigner::from_seed(log, &[0; 32])?;

        let mut files: Vec<(PathBuf, String)> =
            trust.0.iter().map(|trusted| (trusted.kept.clone(), trusted.key.to_text())).collect();
        for (name, text) in remit_policy::shipped_files() {
            files.push((Path::new("policies").join(name), text.to_string()));
        }
        files.push((PathBuf::from("principals.toml"), principals));
        // The configuration is parsed as every later command will parse it.
        let written = template(log, &publishers, &admins);
        let config = Config::parse(&written, &self.config())?;
        for (name, text) in &files {
            is_there(&self.path().join(name), text)?;
        }

        let mut new_home = NewHome::begin(self)?;
        new_home.folder(&self.path().join("keys"))?;
        for (name, text) in &files {
            new_home.file(&self.path().join(name), text)?;
        }
        Principals::load(&self.principals())?;
        new_home.will_make(&[self.log_seed(), self.seal_key()]);
        let signer = NoteSigner::from_seed(log, &*private_seed(&self.log_seed())?)?;
        let log_key = signer.verifier().to_string();
        Sealer::load_or_create(&self.seal_key())?;
        let beside = |ending: &str| self.path().join(format!("journal.db{ending}"));
        new_home.will_make(&["", "-wal", "-shm", "-signal"].map(beside));
        Journal::open(&self.journal(), signer)?;
        new_home.file(&self.log_key(), &format!("{log_key}\n"))?;
        if let Some(admin) = &admin {
            new_home.will_make(&[self.rules_file()]);
            self.sign_rules_of(&config, admin, |_| true)?;
        }
        // The configuration is written last, because a directory with it is a home.
        new_home.file(&self.config(), &written)?;
        new_home.complete = true;
        Ok(Initialised { config: self.config(), log_key, signed: admin.is_some() })
    }
}

/// A home that is being made. If it is not completed, everything that was made is removed. No other process can make a home
/// there at the same time.
struct NewHome {
    _lock: File,
    /// The paths that did not exist before, in the order in which they were made.
    made: Vec<PathBuf>,
    complete: bool,
}

impl NewHome {
    fn begin(home: &Home) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::kept(home.path(), &error);
        let mut made = remit_file::make_folder(home.path()).map_err(failed)?;
        let lock = home.lock();
        if !lock.exists() {
            made.push(lock);
        }
        let begun = || -> Result<File, Error> {
            remit_file::judge_folder(home.path())?;
            let lock = home.lock_file()?;
            lock.try_lock().map_err(|_| Error::Busy { home: home.path().display().to_string() })?;
            if home.config().exists() {
                let home = home.path().display().to_string();
                return Err(Error::HomeExists { home, what: "a configuration" });
            }
            Ok(lock)
        };
        match begun() {
            Ok(lock) => Ok(Self { _lock: lock, made, complete: false }),
            // Files of another process must not be removed. Their folder is not removed either, because it is not empty.
            Err(error) => {
                made.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
                Err(error)
            }
        }
    }

    /// Notes files that are about to be made, if they do not exist.
    fn will_make(&mut self, files: &[PathBuf]) {
        self.made.extend(files.iter().filter(|file| !file.exists()).cloned());
    }

    fn folder(&mut self, path: &Path) -> Result<(), Error> {
        self.made.extend(remit_file::make_folder(path).map_err(|error| Error::kept(path, &error))?);
        Ok(())
    }

    fn file(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            self.folder(folder)?;
        }
        match remit_file::create(path, 0o600, text.as_bytes()) {
            Ok(()) => self.made.push(path.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_there(path, text)? => {}
            Err(error) => return Err(Error::kept(path, &error)),
        }
        Ok(())
    }
}

impl Drop for NewHome {
    fn drop(&mut self) {
        if !self.complete {
            for path in self.made.iter().rev() {
                // A file that cannot be removed does no harm. A folder is removed only if it is empty.
                let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
            }
        }
    }
}

/// Whether a file exists with this content. Other content is an error.
fn is_there(path: &Path, text: &str) -> Result<bool, Error> {
    match remit_file::plain(path, remit_file::Kind::Kept) {
        Ok(there) if there.bytes() == text.as_bytes() => Ok(true),
        Ok(_) => Err(Error::InTheWay { file: path.display().to_string() }),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

const PRINCIPALS: &str = "# Who may act here: people and software identities, each with its keys. After a change an administrator\n# signs it: `remit rules sign --key admin.key`. docs/authority.md has the form.\n";

fn template(log: &str, publishers: &[PathBuf], admins: &[PathBuf]) -> String {
    // The host made these file names, so they can be shown as text.
    let list =
        |keys: &[PathBuf]| value(keys.iter().map(|name| name.display().to_string()).collect::<Vec<String>>());
    format!(
        r#"# The name of this host's journal in its signed checkpoints.
log = {}
# The environment of this home, for policies.
# environment = "production"

[trust]
# The keys of publishers whose actions may run (P-256, PEM), and of administrators, who sign the rules: public key files,
# relative to this file.
publishers = {}
admins     = {}

# The system of each path of secrets; the longest prefix decides.
[[secrets]]
prefix  = ""
backend = "embedded"

# [[secrets]]
# prefix     = "prod"
# backend    = "openbao"                    # or any server with Vault's KV version 2
# address    = "https://bao.example.org:8200"
# mount      = "secret"
# token_file = "bao.token"                  # mode 0600; or token_env = "BAO_TOKEN"
"#,
        value(log),
        list(publishers),
        list(admins)
    )
}
