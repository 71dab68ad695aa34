//! How a command has its document signed: here, or elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;
use remit_file::{Kind, Wrote};
use remit_lifecycle::{Actor, Document, Error, Host, KeyHolder, Order, Prepared, What, read_signed};
use remit_trust::dsse::Envelope;
use remit_trust::{Key as KeyFile, KeyId, Signer};

use super::common::{Done, usage, write};
use crate::print::say;

/// Whoever acts proves to be a principal by its key.
#[derive(Args)]
pub(crate) struct Key {
    /// Your private key: PEM or OpenSSH; or an SSH public key, for the ssh-agent.
    #[arg(long, env = "REMIT_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Key {
    fn file(&self) -> Done<&Path> {
        self.key.as_deref().ok_or_else(|| {
            usage(
                "no key was given, so that nobody knows who acts".to_owned(),
                "name yours with --key, or in REMIT_KEY",
            )
        })
    }

    /// Who holds the key, if it is a principal's and counts now.
    pub(crate) fn holder(&self, host: &Host) -> Done<KeyHolder> {
        let rules = host.rules()?;
        let holder = KeyHolder::from(Signer::load(self.file()?)?);
        rules.identify(holder.key())?;
        Ok(holder)
    }

    /// The key's id, of a public key too.
    fn id(&self, host: &Host) -> Done<KeyId> {
        let rules = host.rules()?;
        let id = match KeyFile::load(self.file()?)? {
            KeyFile::Public(key) => key.id(),
            KeyFile::Private(signer) => KeyHolder::from(*signer).key().clone(),
        };
        rules.identify(&id)?;
        Ok(id)
    }
}

/// Where a document is signed.
#[derive(Args)]
pub(crate) struct Signing {
    #[command(flatten)]
    key: Key,
    /// Write what is to be signed elsewhere, for `ssh-keygen -Y sign -n remit FILE`, and do nothing. The public key that
    /// will sign is named by --key.
    #[arg(long, value_name = "FILE", conflicts_with = "signed")]
    prepare: Option<PathBuf>,
    /// Do what was signed elsewhere: what --prepare wrote to FILE, with the signature in FILE.sig; or a DSSE envelope.
    #[arg(long, value_name = "FILE", visible_alias = "signature")]
    signed: Option<PathBuf>,
}

/// How far this command brings a document.
pub(crate) enum Step<T = Envelope> {
    /// It is signed.
    Signed(T),
    /// It is written to a file, to be signed elsewhere.
    Written,
    /// There is nothing to sign.
    Nothing,
}

/// The same, once the key was read: a pipe can be read but once.
pub(crate) enum Way<'a> {
    /// In this process.
    Here(Box<KeyHolder>),
    /// By this key, over what is written to the file.
    Elsewhere(KeyId, &'a Path),
    /// It was, and this file is signed.
    Already(&'a Path),
}

impl Signing {
    /// Reads the key, and looks whether it is a principal's that counts now: found out before anything else is done.
    pub(crate) fn way(&self, host: &Host) -> Done<Way<'_>> {
        match (&self.signed, &self.prepare) {
            (Some(file), _) => Ok(Way::Already(file)),
            (None, Some(file)) => Ok(Way::Elsewhere(self.key.id(host)?, file)),
            (None, None) => Ok(Way::Here(Box::new(self.key.holder(host)?))),
        }
    }

    /// The one who acts on a run that has ended, or on what this home keeps: a principal, by an order; in a home without
    /// an administrator, its owner. For the arguments, see [`Way::order`].
    pub(crate) async fn actor<P: Into<Option<Prepared<Order>>>>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<P, Error>,
        is_it: impl FnOnce(&What) -> bool,
    ) -> Done<Step<Actor>> {
        if host.home.has_principals()? {
            return Ok(match self.way(host)?.order(host, again, prepare, is_it).await? {
                Step::Signed(order) => Step::Signed(Actor::Principal(Box::new(order))),
                Step::Written => Step::Written,
                Step::Nothing => Step::Nothing,
            });
        }
        if self.prepare.is_some() || self.signed.is_some() {
            let what = "this home names no administrator, so that no signature counts here".to_owned();
            return Err(usage(what, "leave out --prepare and --signed: the home's owner needs no key"));
        }
        Ok(Step::Signed(Actor::Owner))
    }
}

impl Way<'_> {
    /// Prepares a document and has it signed, here or elsewhere. `prepare` may return none, if there is nothing to sign.
    /// What was signed elsewhere has to be what this command is about: `is_it` says why it is not. `again` is the command
    /// that takes the signature.
    pub(crate) async fn document<D: Document, P: Into<Option<Prepared<D>>>>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<P, Error>,
        is_it: impl FnOnce(&D) -> Result<(), String>,
    ) -> Done<Step> {
        match self {
            Self::Here(by) => match prepare(by.key()).await?.into() {
                Some(prepared) => Ok(Step::Signed(by.sign(&prepared)?)),
                None => Ok(Step::Nothing),
            },
            Self::Elsewhere(by, file) => {
                let Some(prepared) = prepare(by).await?.into() else { return Ok(Step::Nothing) };
                if write(file, prepared.to_sign())? == Wrote::File {
                    say!("wrote     {}", file.display());
                    say!("sign      ssh-keygen -Y sign -n remit -f KEY {}", file.display());
                    say!("then      {again} --signed {}", file.display());
                }
                Ok(Step::Written)
            }
            Self::Already(file) => {
                let bytes = remit_file::given(file, Kind::Approval).map_err(Error::from)?.into_bytes();
                let beside = || {
                    let mut beside = file.as_os_str().to_owned();
                    beside.push(".sig");
                    Ok(remit_file::plain(Path::new(&beside), Kind::Signature)?.into_bytes())
                };
                let shown = file.display().to_string();
                let (envelope, claimed) = read_signed::<D>(&*host.rules()?, &bytes, beside, &shown)?;
                is_it(&claimed).map_err(|why| usage(format!("{shown}: {why}"), "name what was prepared"))?;
                Ok(Step::Signed(envelope))
            }
        }
    }

    /// The same for an order. `is_it` compares what was ordered.
    pub(crate) async fn order<P: Into<Option<Prepared<Order>>>>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<P, Error>,
        is_it: impl FnOnce(&What) -> bool,
    ) -> Done<Step> {
        let is_it = |signed: &Order| match is_it(&signed.order) {
            true => Ok(()),
            false => Err("it orders something else".to_owned()),
        };
        self.document(host, again, prepare, is_it).await
    }
}
