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

    /// Whoever acts on a run that is over, by an order that it signs; the owner, of a home that can have no principals.
    pub(crate) async fn actor(
        &self,
        host: &Host,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<Option<Prepared<Order>>, Error>,
    ) -> Done<Option<Actor>> {
        if !host.home.has_principals()? {
            return Ok(Some(Actor::Owner));
        }
        if self.key.is_none() {
            return Err(Box::new(Error::Identity {
                why: "no key was given, so that nobody knows who acts".to_owned(),
                help: "name yours with --key, or in REMIT_KEY",
            }));
        }
        let by = self.holder(host)?;
        let Some(order) = prepare(by.key()).await? else { return Ok(None) };
        Ok(Some(Actor::Principal(Box::new(by.sign(&order)?))))
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

/// A document as far as this command brings it.
pub(crate) enum Step {
    /// It is signed.
    Signed(Envelope),
    /// It waits in a file for its signature.
    Written,
}

/// The same, once the key was read: a pipe can be read but once.
pub(crate) enum Way<'a> {
    /// In this process.
    Here(KeyHolder),
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
            (None, None) => Ok(Way::Here(self.key.holder(host)?)),
        }
    }
}

impl Way<'_> {
    /// Prepares a document and has it signed, here or elsewhere. What was signed elsewhere has to be what this command is
    /// about: `is_it` says why it is not. `again` is the command that takes the signature.
    pub(crate) async fn document<D: Document>(
        &self,
        host: &Host,
        again: &str,
        prepare: impl AsyncFnOnce(&KeyId) -> Result<Prepared<D>, Error>,
        is_it: impl FnOnce(&D) -> Result<(), String>,
    ) -> Done<Step> {
        match self {
            Self::Here(by) => Ok(Step::Signed(by.sign(&prepare(by.key()).await?)?)),
            Self::Elsewhere(by, file) => {
                let prepared = prepare(by).await?;
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
}

/// Whether a signed order is this one.
pub(crate) fn is_order(order: &Order, what: &What) -> Result<(), String> {
    if order.order == *what { Ok(()) } else { Err("it orders something else".to_owned()) }
}
