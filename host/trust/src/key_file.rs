//! Reading key files. A file is read once and its format is recognised afterwards, so a pipe works too.

use std::path::{Path, PathBuf};

use remit_file::{Content, Kind};
use zeroize::Zeroizing;

use crate::ssh::SshKey;
use crate::{KeyError, Signer, SigningKey, VerifyingKey, armour};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
const OPENSSH: &str = "OPENSSH PRIVATE KEY";

/// The key in a key file: a public key, or something that can sign.
#[derive(Debug)]
pub enum Key {
    /// A public key, which can only verify.
    Public(VerifyingKey),
    /// A private key, or an OpenSSH public key whose private key is in an ssh-agent.
    Private(Box<Signer>),
}

impl Key {
    /// Reads a key file of any form; `-` is standard input.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let read = KeyFile::read(path)?;
        if read.is_public_pem() {
            read.public().map(Self::Public)
        } else {
            read.signer().map(|signer| Self::Private(Box::new(signer)))
        }
    }
}

/// The bytes of a key file.
pub(crate) struct KeyFile {
    bytes: Zeroizing<Vec<u8>>,
    /// The name of the file in errors.
    shown: String,
    /// Path and mode, if users other than the owner can read the file.
    exposed: Option<(PathBuf, u32)>,
}

impl KeyFile {
    pub(crate) fn of(text: &[u8], shown: &str) -> Self {
        Self { bytes: Zeroizing::new(text.to_vec()), shown: shown.to_owned(), exposed: None }
    }

    /// Reads a file or pipe that a person named.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_content(remit_file::given(path, Kind::Key)?, path))
    }

    /// Reads a file that decides who may do what.
    pub(crate) fn trusted(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_content(remit_file::trusted(path, Kind::Key)?, path))
    }

    /// Reads one of the host's own keys, as bare bytes.
    pub(crate) fn seed(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_content(remit_file::trusted(path, Kind::Seed)?, path))
    }

    fn from_content(read: Content, path: &Path) -> Self {
        let shown = read.shown().to_owned();
        let exposed = read.exposed().map(|mode| (path.to_owned(), mode));
        Self { bytes: Zeroizing::new(read.into_bytes()), shown, exposed }
    }

    pub(crate) fn unusable(&self, why: impl Into<String>) -> KeyError {
        KeyError::Unusable { shown: self.shown.clone(), why: why.into() }
    }

    /// The bytes, if only the owner can read the file.
    pub(crate) fn private(&self) -> Result<&[u8], KeyError> {
        match &self.exposed {
            Some((path, mode)) => Err(KeyError::Exposed { path: path.clone(), mode: *mode }),
            None => Ok(&self.bytes),
        }
    }

    fn is_public_pem(&self) -> bool {
        self.block(&[PUBLIC]).is_ok()
    }

    /// The public key in the file.
    pub(crate) fn public(&self) -> Result<VerifyingKey, KeyError> {
        if !armour::is_pem(&self.bytes) {
            return Ok(VerifyingKey::of_ssh(self.line()?));
        }
        VerifyingKey::from_spki(self.block(&[PUBLIC])?.into_contents())
            .ok_or_else(|| self.unusable("a public key, but neither for ECDSA P-256 nor for Ed25519"))
    }

    /// The private key in the file, or a reference to it in an ssh-agent.
    pub(crate) fn signer(&self) -> Result<Signer, KeyError> {
        if !armour::is_pem(&self.bytes) {
            return Ok(Signer::in_agent(self.line()?));
        }
        let block = self.block(&[PRIVATE, OPENSSH])?;
        self.private()?;
        let openssh = block.tag() == OPENSSH;
        let der = Zeroizing::new(block.into_contents());
        let signer = if openssh { Signer::from_openssh(&der) } else { Signer::from_pkcs8(&der) };
        signer.map_err(|why| self.unusable(why))
    }

    fn line(&self) -> Result<SshKey, KeyError> {
        SshKey::from_line(&self.bytes).map_err(|why| self.unusable(why))
    }

    /// The first PEM block with one of these labels.
    fn block(&self, wanted: &[&str]) -> Result<pem::Pem, KeyError> {
        let blocks = pem::parse_many(&*self.bytes);
        let mut blocks = blocks.map_err(|error| self.unusable(format!("damaged PEM ({error})")))?;
        if let Some(at) = blocks.iter().position(|block| wanted.contains(&block.tag())) {
            return Ok(blocks.swap_remove(at));
        }
        Err(self.unusable(match blocks.first().map(pem::Pem::tag) {
            None => "not whole PEM: its end is missing".to_owned(),
            Some(
                "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" | "ENCRYPTED PRIVATE KEY",
            ) => "it is encrypted; decrypt it with its own tool first".to_owned(),
            Some("EC PRIVATE KEY" | "EC PARAMETERS") => {
                "SEC 1 form; convert it with `openssl pkcs8 -topk8 -nocrypt`".to_owned()
            }
            Some(PRIVATE | OPENSSH) => "a private key, where the public one is needed".to_owned(),
            Some(PUBLIC) => "a public key, where the private one is needed".to_owned(),
            Some(other) => {
                let other: String = other.escape_debug().take(60).collect();
                format!("a PEM block of `{other}`, expected `{}`", wanted.join("` or `"))
            }
        }))
    }
}

impl SigningKey {
    /// Reads a PKCS#8 key in PEM; `shown` names it in errors.
    pub fn from_pem(text: &str, shown: &str) -> Result<Self, KeyError> {
        KeyFile::of(text.as_bytes(), shown).signer()?.publishing(shown)
    }

    /// Reads a key file, which must be private to its owner; `-` is standard input.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        KeyFile::read(path)?.signer()?.publishing(&path.display().to_string())
    }
}

impl VerifyingKey {
    /// Reads an ECDSA P-256 key in SPKI PEM; `shown` names it in errors.
    pub fn from_pem(text: &str, shown: &str) -> Result<Self, KeyError> {
        KeyFile::of(text.as_bytes(), shown).public()?.publishing(shown)
    }

    /// Reads a public key in PEM (ECDSA P-256 or Ed25519), or a line of OpenSSH (the same two, in hardware too).
    pub fn from_text(text: &str, shown: &str) -> Result<Self, KeyError> {
        KeyFile::of(text.as_bytes(), shown).public()
    }

    /// Reads a key file of any form; `-` is standard input.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        KeyFile::read(path)?.public()
    }

    /// Reads a key file that decides who may do what.
    pub fn load_trusted(path: &Path) -> Result<Self, KeyError> {
        KeyFile::trusted(path)?.public()
    }

    /// Reads a publisher's key file: ECDSA P-256 in PEM, as cosign writes it.
    pub fn load_publisher(path: &Path) -> Result<Self, KeyError> {
        Self::load(path)?.publishing(&path.display().to_string())
    }

    /// The same for a file that decides whose actions may run.
    pub fn load_trusted_publisher(path: &Path) -> Result<Self, KeyError> {
        Self::load_trusted(path)?.publishing(&path.display().to_string())
    }
}

impl Signer {
    /// Reads a private key file, which must be private to its owner: PKCS#8 in PEM (ECDSA P-256 or Ed25519), or
    /// OpenSSH's; `-` is standard input. An OpenSSH *public* key stands for the private one that an ssh-agent holds.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        KeyFile::read(path)?.signer()
    }
}
