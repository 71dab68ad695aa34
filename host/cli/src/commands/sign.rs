//! `remit sign`.

use std::path::PathBuf;

use clap::Args;
use remit_sandbox::{Candidate, Inspection};
use remit_trust::{SigningKey, blob};

use super::{Done, usage, write};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit sign rotate-secret.wasm --key publisher.key\n\nThe signature is in cosign's key-based form: base64 of DER ECDSA P-256 over SHA-256.\n\nOnly a component is signed: what is no WebAssembly, a core module or a damaged file is refused.\n\nCheck it elsewhere:\n  base64 -d A.wasm.sig > A.der && openssl dgst -sha256 -verify publisher.pub -signature A.der A.wasm"
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
        // A signature says that this is what somebody built: not of a download that went wrong.
        let found = Inspection::of(&candidate)?;
        let key = SigningKey::load(&self.key)?;
        let mut beside = self.file.into_os_string();
        beside.push(".sig");
        let beside = PathBuf::from(beside);
        if beside.exists() && !self.force {
            let what = format!("{} is there already", beside.display());
            return Err(usage(what, "pass --force to replace it; nothing was changed"));
        }
        write(&beside, format!("{}\n", blob::sign_blob(&key, candidate.bytes()?)?))?;
        say!("signed    {}", candidate.digest());
        say!("by        {}", key.verifying_key().id());
        say!("wrote     {}", beside.display());
        for obstacle in found.obstacles(candidate.shown()) {
            print::warn(&format!("note: it cannot run here: {}", print::word(&obstacle.in_short())));
        }
        Ok(0)
    }
}
