//! `remit sign`.

use std::path::{Path, PathBuf};

use clap::Args;
use remit_file::Wrote;
use remit_sandbox::{BUILT_IN, Candidate, Inspection};
use remit_trust::{SigningKey, blob};

use super::common::{Done, usage, write};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit sign rotate-secret.wasm --key publisher.key\n\nThe signature is in cosign's key-based form: base64 of DER ECDSA P-256 over SHA-256.\n\nOnly components are signed. Core modules, damaged files and other files are refused.\n\nCheck it elsewhere:\n  base64 -d A.wasm.sig > A.der && openssl dgst -sha256 -verify publisher.pub -signature A.der A.wasm"
)]
pub(crate) struct Sign {
    /// The component.
    file: PathBuf,
    /// The publisher's private key.
    #[arg(long, value_name = "FILE.key")]
    key: PathBuf,
    /// Replace an existing signature, whoever made it. Not needed for a signature by the same key, or one that is older
    /// than the component.
    #[arg(long)]
    force: bool,
}

impl Sign {
    pub(crate) fn run(self) -> Done {
        let candidate = Candidate::read(&self.file)?;
        // Refuses what is no component, such as a damaged download.
        let found = Inspection::of(&candidate)?;
        let key = SigningKey::load(&self.key)?;
        let file = self.file;
        let mut beside = file.clone().into_os_string();
        beside.push(".sig");
        let beside = PathBuf::from(beside);
        if !self.force && !may_replace(&file, &beside, &key, &candidate)? {
            let what = format!("{} already exists, and may be somebody else's", beside.display());
            return Err(usage(what, "pass --force to replace it; nothing was changed"));
        }
        let wrote = write(&beside, format!("{}\n", blob::sign_blob(&key, candidate.bytes()?)?))?;
        say!("signed    {}", candidate.digest());
        say!("by        {}", key.verifying_key().id());
        if wrote == Wrote::File {
            say!("wrote     {}", beside.display());
        }
        for obstacle in found.obstacles(candidate.shown(), &BUILT_IN) {
            print::warn(&format!("note: it cannot run here: {}", print::word(&obstacle.in_short())));
        }
        Ok(0)
    }
}

/// Whether a signature may be written: there is none, or it is by this key, or it is older than the component and so
/// belongs to another one.
fn may_replace(file: &Path, beside: &Path, key: &SigningKey, candidate: &Candidate) -> Done<bool> {
    let written = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    let Ok(signed) = written(beside) else { return Ok(!beside.exists()) };
    let own = blob::verify_blob(&[key.verifying_key()], candidate.bytes()?, candidate.signature());
    Ok(own.is_ok() || written(file).is_ok_and(|built| built > signed))
}
