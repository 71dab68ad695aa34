//! A Remit home: the directory with the configuration, the journal and the host's own keys.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use remit_journal::{Journal, Reader};
use remit_tlog::{NoteSigner, NoteVerifier};
use remit_trust::principals::Kind;
use remit_trust::{Sealer, Sign as _, Signer, VerifyingKey, private_seed};

use crate::{Config, Error};

const CONFIG: &str = "remit.toml";

/// Where a home is, and how its files are called.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// What [`Home::init`] made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The configuration file.
    pub config: PathBuf,
    /// The journal's public key, to keep apart from this machine.
    pub log_key: String,
    /// Whether the rules are signed.
    pub signed: bool,
}

/// What a home is made from.
#[derive(Clone, Debug, Default)]
pub struct Founding {
    /// The journal's name in its signed checkpoints.
    pub log: String,
    /// Public key files: whose actions may run.
    pub publishers: Vec<PathBuf>,
    /// The administrator's key. A private one signs the rules at once.
    pub admin: Option<PathBuf>,
    /// The first principals.
    pub principals: Vec<Founder>,
}

/// A principal that a home begins with.
#[derive(Clone, Debug)]
pub struct Founder {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its public key file.
    pub key: PathBuf,
}

impl Home {
    /// The home at `path`, whether or not it exists.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `remit.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join(CONFIG)
    }

    /// The journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.db")
    }

    /// The journal's public key, in text.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.0.join("log.pub")
    }

    pub(crate) fn log_seed(&self) -> PathBuf {
        self.0.join("log.key")
    }

    pub(crate) fn seal_key(&self) -> PathBuf {
        self.0.join("seal.key")
    }

    /// Where actions that ran are kept, by digest.
    pub(crate) fn components(&self) -> PathBuf {
        self.0.join("components")
    }

    /// Where compiled components are kept.
    pub(crate) fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// What the compiled components are sealed with.
    pub(crate) fn cache_key(&self) -> PathBuf {
        self.0.join("cache.key")
    }

    /// Where each run that is going has its lock.
    pub(crate) fn running(&self) -> PathBuf {
        self.0.join("running")
    }

    /// Locked by everyone who has the home open.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Makes a home: directory (mode 0700), configuration, rules, the host's keys, an empty journal. The public
    /// keys given are copied in and trusted. Refuses to touch one that exists.
    pub fn init(&self, founding: &Founding) -> Result<Initialised, Error> {
        let shown = || self.0.display().to_string();
        if self.config().exists() {
            return Err(Error::HomeExists { home: shown(), what: "a configuration" });
        }
        // Everything that can be wrong with the arguments is found before anything is written.
        let log = &founding.log;
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        let mut keep = |stem: &str, key: &VerifyingKey| {
            let name = Path::new("keys").join(format!("{stem}.pub"));
            if !files.iter().any(|(kept, _)| *kept == name) {
                files.push((name.clone(), key.to_text()));
            }
            name
        };
        let mut publishers = Vec::new();
        for (n, file) in founding.publishers.iter().enumerate() {
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let key = VerifyingKey::load_publisher(file)?;
            publishers.push(keep(&stem.unwrap_or_else(|| format!("publisher-{n}")), &key));
        }
        let (admin, admins) = match &founding.admin {
            None => (None, Vec::new()),
            Some(file) => match VerifyingKey::load(file) {
                // A line of OpenSSH stands for the private key that an agent holds.
                Ok(key) if !key.is_ssh() => (None, vec![keep("admin", &key)]),
                _ => {
                    let signer = Signer::load(file)?;
                    let name = keep("admin", &signer.verifying_key());
                    (Some(signer), vec![name])
                }
            },
        };
        let mut principals = String::from(PRINCIPALS);
        for Founder { name, kind, groups, key } in &founding.principals {
            let file = keep(name, &VerifyingKey::load(key)?);
            let groups: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
            let _ = write!(
                principals,
                "\n[[principal]]\nname   = {name:?}\nkind   = \"{kind}\"\ngroups = [{}]\n[[principal.key]]\nfile   = {:?}\n",
                groups.join(", "),
                file.display().to_string()
            );
        }
        NoteSigner::from_seed(log, &[0; 32])?;

        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [self.0.join("keys"), self.policies()] {
            builder.create(&folder).map_err(|error| Error::file(&folder, &error))?;
        }
        let write = |name: &Path, text: &str| {
            let path = self.0.join(name);
            fs::write(&path, text).map_err(|error| Error::file(&path, &error))
        };
        for (name, text) in &files {
            write(name, text)?;
        }
        for (name, text) in remit_policy::shipped_files() {
            write(&Path::new("policies").join(name), text)?;
        }
        write(Path::new("principals.toml"), &principals)?;
        remit_trust::principals::Principals::load(&self.principals())?;
        let signer = NoteSigner::from_seed(log, &*private_seed(&self.log_seed())?)?;
        let log_key = signer.verifier().to_string();
        Sealer::load_or_create(&self.seal_key())?;
        Journal::open(&self.journal(), signer)?;
        write(Path::new("log.pub"), &format!("{log_key}\n"))?;
        // Last: its presence is what makes the directory a home.
        write(Path::new(CONFIG), &template(log, &publishers, &admins))?;
        if let Some(admin) = &admin {
            self.sign_rules(admin)?;
        }
        Ok(Initialised { config: self.config(), log_key, signed: admin.is_some() })
    }

    /// The configuration.
    pub fn load(&self) -> Result<Config, Error> {
        if !self.config().exists() {
            return Err(Error::NoHome { home: self.0.display().to_string() });
        }
        Config::load(&self.config())
    }

    /// The journal's public key.
    pub fn verifier(&self) -> Result<NoteVerifier, Error> {
        let path = self.log_key();
        let text = fs::read_to_string(&path).map_err(|error| Error::file(&path, &error))?;
        Ok(NoteVerifier::parse(&text)?)
    }

    /// The journal's private key.
    pub fn signer(&self, config: &Config) -> Result<NoteSigner, Error> {
        Ok(NoteSigner::from_seed(&config.log, &*private_seed(&self.log_seed())?)?)
    }

    /// The journal, to read.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.load()?;
        Ok(Journal::open_read_only(&self.journal())?)
    }
}

const PRINCIPALS: &str = "# Who may act here: people and software identities, each with its keys. After a change an administrator\n# signs it: `remit rules sign --key admin.key`. docs/authority.md has the form.\n";

fn template(log: &str, publishers: &[PathBuf], admins: &[PathBuf]) -> String {
    let list = |keys: &[PathBuf]| {
        keys.iter().map(|name| format!("{:?}", name.display().to_string())).collect::<Vec<_>>().join(", ")
    };
    format!(
        r#"# The name of this host's journal in its signed checkpoints.
log = {log:?}
# What policies know of this home.
# environment = "production"

[trust]
# Who may publish actions (P-256, PEM), and who may say who the principals are: public keys, relative to this file.
publishers = [{}]
admins     = [{}]

# Which system serves which secrets; the longest prefix wins.
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
        list(publishers),
        list(admins)
    )
}

/// Reads a log's public key from text.
pub fn log_key(text: &str) -> Result<NoteVerifier, Error> {
    Ok(NoteVerifier::parse(text)?)
}
