//! `remit sign`.

use std::path::PathBuf;

use clap::Args;
use remit_lifecycle::Error;
use remit_sandbox::Candidate;
use remit_trust::{SigningKey, blob};

use super::{Done, write};

#[derive(Args)]
#[command(
    after_help = "The signature is in cosign's key-based form: base64 of DER ECDSA P-256 over SHA-256.\n\nCheck it elsewhere:\n  base64 -d A.wasm.sig > A.der && openssl dgst -sha256 -verify publisher.pub -signature A.der A.wasm"
)]
pub(crate) struct Sign {
    /// The component.
    file: PathBuf,
    /// The publisher's private key.
    #[arg(long, value_name = "FILE.key")]
    key: PathBuf,
    /// Replace a signature that is there.
    #[arg(long)]
    force: bool,
}

impl Sign {
    pub(crate) fn run(self) -> Done {
        let candidate = Candidate::read(&self.file)?;
        let key = SigningKey::load(&self.key)?;
        let mut beside = self.file.into_os_string();
        beside.push(".sig");
        let beside = PathBuf::from(beside);
        if beside.exists() && !self.force {
            let why = "it is there already; pass --force to replace it".to_owned();
            return Err(Error::File { file: beside.display().to_string(), why }.into());
        }
        write(&beside, &format!("{}\n", blob::sign_blob(&key, candidate.bytes())?))?;
        println!("signed    {}", candidate.digest());
        println!("by        {}", key.verifying_key().id());
        println!("wrote     {}", beside.display());
        Ok(0)
    }
}
