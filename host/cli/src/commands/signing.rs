//! Where a command's document is signed: in this process, or elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::Diagnostic;
use remit_file::{Kind, Wrote};
use remit_lifecycle::{Actor, Document, Error, Host, KeyHolder, Order, OrderKind, Prepared, read_signed};
use remit_trust::dsse::Envelope;
use remit_trust::{Key as KeyFile, KeyError, KeyId, Sign as _, Signer, VerifyingKey};
use serde_json::Value;

use super::common::{Done, usage, write};
use crate::place::Server;
use crate::print::say;

/// The key of the principal that acts.
#[derive(Args)]
pub(crate) struct Key {
    /// Your private key, PEM or OpenSSH; or an SSH public key, if the ssh-agent has the private one.
    #[arg(long, env = "REMIT_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Key {
    fn file(&self) -> Done<&Path> {
        self.key.as_deref().ok_or_else(|| {
            usage(
                "no key was given, so it is not known who acts".to_owned(),
                "name your key with --key, or in REMIT_KEY",
            )
        })
    }

    /// The key with its private part. It must be a principal's and valid now.
    pub(crate) fn holder(&self, host: &Host) -> Done<KeyHolder> {
        let holder = KeyHolder::from(Signer::load(self.file()?)?);
        host.identify(holder.key())?;
        Ok(holder)
    }

    /// The public key. Its private part is not needed.
    fn public(file: &Path) -> Result<VerifyingKey, KeyError> {
        Ok(match KeyFile::load(file)? {
            KeyFile::Public(key) => key,
            KeyFile::Private(signer) => signer.verifying_key(),
        })
    }
}

/// Where a document is signed.
#[derive(Args)]
pub(crate) struct Signing {
    #[command(flatten)]
    key: Key,
    /// Write the document to FILE, to be signed elsewhere (`ssh-keygen -Y sign -n remit FILE`), and do nothing else. --key
    /// may then be the public key.
    #[arg(long, value_name = "FILE", conflicts_with = "signed")]
    prepare: Option<PathBuf>,
    /// Submit a document that was signed elsewhere: what --prepare wrote to FILE, with its signature in FILE.sig; or a
    /// DSSE envelope.
    #[arg(long, value_name = "FILE", visible_alias = "signature")]
    signed: Option<PathBuf>,
}

/// What became of a document that this command wanted signed.
pub(crate) enum SigningResult<T = Envelope> {
    /// It is signed.
    Signed(T),
    /// It was written to a file, to be signed elsewhere.
    Written,
    /// There was nothing to sign.
    Nothing,
}

/// How the document is signed. The key was read: a pipe can be read only once.
pub(crate) enum Mode<'a> {
    /// Sign it in this process.
    Sign(Box<KeyHolder>),
    /// Write it to the file, to be signed by this key.
    Prepare(KeyId, &'a Path),
    /// Submit the signed document in the file.
    Submit(&'a Path),
}

impl Signing {
    /// Whether a document is submitted that was signed elsewhere.
    pub(crate) fn is_submit(&self) -> bool {
        self.signed.is_some()
    }

    /// Reads and checks the key, before the command does anything else.
    pub(crate) fn mode(&self, host: &Host) -> Done<Mode<'_>> {
        match (&self.signed, &self.prepare) {
            (Some(file), _) => Ok(Mode::Submit(file)),
            (None, Some(file)) => {
                let id = Key::public(self.key.file()?)?.id();
                host.identify(&id)?;
                Ok(Mode::Prepare(id, file))
            }
            (None, None) => Ok(Mode::Sign(Box::new(self.key.holder(host)?))),
        }
    }

    fn file_at<'a>(&'a self, server: &'a Server) -> &'a Path {
        self.key.key.as_deref().unwrap_or(server.key())
    }

    /// The key that signs what a server prepared: the one that was named, or else the context's.
    pub(crate) fn holder_at(&self, server: &Server) -> Done<KeyHolder> {
        Ok(KeyHolder::from(Signer::load(self.file_at(server))?))
    }

    /// Prepares a document at a server, and returns it signed. `is_it` checks what the server prepared, before it is signed.
    pub(crate) async fn at_server<D: Document>(
        &self,
        server: &Server,
        again: &str,
        (path, body): (&str, &mut Value),
        is_it: impl Fn(&D) -> Result<(), String>,
    ) -> Done<SigningResult> {
        let file = self.file_at(server);
        let mode = match (&self.signed, &self.prepare) {
            (Some(file), _) => Mode::Submit(file),
            (None, Some(out)) => Mode::Prepare(Key::public(file)?.id(), out),
            (None, None) => Mode::Sign(Box::new(self.holder_at(server)?)),
        };
        let prepare = async |by: &KeyId| {
            body["key"] = by.to_string().into();
            let prepared = server.prepare::<D>(path, body, by)?;
            is_it(&prepared.document).map_err(|why| server.altered(why))?;
            Ok::<_, Box<dyn Diagnostic + Send + Sync>>(prepared)
        };
        let keys = |_: &str| Ok(vec![Key::public(file)?]);
        mode.with_keys(keys, again, prepare, &is_it).await
    }

    /// Who orders something of a run that has ended, or of this home: a principal; in a home without an administrator, its
    /// owner. For the arguments, see [`Mode::order`].
    pub(crate) async fn actor<P: Into<Option<Prepared<Order>>>>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<P, Error>,
        is_it: impl FnOnce(&OrderKind) -> bool,
    ) -> Done<SigningResult<Actor>> {
        if host.home.has_principals()? {
            return Ok(match self.mode(host)?.order(host, again, prepare, is_it).await? {
                SigningResult::Signed(order) => SigningResult::Signed(Actor::Principal(Box::new(order))),
                SigningResult::Written => SigningResult::Written,
                SigningResult::Nothing => SigningResult::Nothing,
            });
        }
        if self.prepare.is_some() || self.signed.is_some() {
            let what = "this home names no administrator, so no signature is valid here".to_owned();
            return Err(usage(what, "leave out --prepare and --signed: the home's owner needs no key"));
        }
        Ok(SigningResult::Signed(Actor::Owner))
    }
}

impl Mode<'_> {
    /// Returns the signed document of a command.
    ///
    /// `prepare` makes the document, or none if there is nothing to sign. `again` is the command that submits it after it
    /// was signed elsewhere. `is_it` says why a submitted document does not belong to this command, if it does not.
    pub(crate) async fn document<D: Document, P: Into<Option<Prepared<D>>>>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<P, Error>,
        is_it: impl FnOnce(&D) -> Result<(), String>,
    ) -> Done<SigningResult> {
        let keys = |name: &str| host.rules()?.keys_of(name);
        let prepare = async |by: &KeyId| Ok(prepare(by).await?);
        self.with_keys(keys, again, prepare, is_it).await
    }

    /// The same, where `keys` returns the keys of a principal by its name.
    async fn with_keys<D: Document, P: Into<Option<Prepared<D>>>>(
        &self,
        keys: impl FnOnce(&str) -> Result<Vec<VerifyingKey>, Error>,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Done<P>,
        is_it: impl FnOnce(&D) -> Result<(), String>,
    ) -> Done<SigningResult> {
        match self {
            Self::Sign(by) => match prepare(by.key()).await?.into() {
                Some(prepared) => Ok(SigningResult::Signed(by.sign(&prepared)?)),
                None => Ok(SigningResult::Nothing),
            },
            Self::Prepare(by, file) => {
                let Some(prepared) = prepare(by).await?.into() else { return Ok(SigningResult::Nothing) };
                if write(file, prepared.to_sign())? == Wrote::File {
                    say!("wrote     {}", file.display());
                    say!("sign      ssh-keygen -Y sign -n remit -f KEY {}", file.display());
                    say!("then      {again} --signed {}", file.display());
                }
                Ok(SigningResult::Written)
            }
            Self::Submit(file) => {
                let bytes = remit_file::given(file, Kind::Approval).map_err(Error::from)?.into_bytes();
                let beside = || {
                    let mut beside = file.as_os_str().to_owned();
                    beside.push(".sig");
                    Ok(remit_file::plain(Path::new(&beside), Kind::Signature)?.into_bytes())
                };
                let shown = file.display().to_string();
                let (envelope, claimed) = read_signed::<D>(keys, &bytes, beside, &shown)?;
                is_it(&claimed).map_err(|why| {
                    usage(format!("{shown}: {why}"), "run the command that --prepare printed")
                })?;
                Ok(SigningResult::Signed(envelope))
            }
        }
    }

    /// The same for an order. `is_it` says whether the order belongs to this command.
    pub(crate) async fn order<P: Into<Option<Prepared<Order>>>>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<P, Error>,
        is_it: impl FnOnce(&OrderKind) -> bool,
    ) -> Done<SigningResult> {
        let is_it = |signed: &Order| {
            if is_it(&signed.order) { Ok(()) } else { Err("it orders something else".to_owned()) }
        };
        self.document(host, again, prepare, is_it).await
    }
}
