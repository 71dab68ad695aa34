//! `remit approve` and `remit deny`.

use std::path::PathBuf;

use clap::Args;
use remit_lifecycle::{Home, Opinion, decide, import_approval};
use remit_trust::Digest;

use super::request::tell;
use super::{Done, Key, open, told};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit approve req-01jd2m4k9x8s7t6v5w4y3z2a1b --key alice.key\n  remit approve 01jd2m --key ~/.ssh/id_ed25519.pub        the ssh-agent signs\n  remit approve 01jd2m --digest sha256:… --key alice.key  only exactly what was looked at"
)]
pub(crate) struct Approve {
    /// The request, or the beginning of its name.
    request: String,
    /// Only if this is its digest: what was looked at.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Write what is to be signed elsewhere, for `ssh-keygen -Y sign -n remit FILE`, and sign nothing. The public key
    /// that will sign is named by --key.
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    prepare: Option<PathBuf>,
    /// Take the signature that was made elsewhere over what --prepare wrote to FILE, from FILE.sig.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let host = open(home).await?;
        let id = host.journal.reader()?.find_request(&self.request)?;
        if let Some(file) = &self.signature {
            let rules = home.rules()?;
            let case = import_approval(&host, &rules, id, file).await?;
            return tell(home, &rules, &case, self.json);
        }
        let (rules, by) = self.key.identify(home)?;
        let opinion = Opinion { approve: true, reason: self.reason, expect: self.digest };
        if let Some(file) = &self.prepare {
            let wrote = remit_lifecycle::prepare_approval(&host, &rules, &by, id, &opinion, file)?;
            if wrote == remit_file::Wrote::Stream {
                return Ok(0);
            }
            crate::print::say!("wrote     {}", file.display());
            crate::print::say!("sign      ssh-keygen -Y sign -n remit -f KEY {}", file.display());
            crate::print::say!("then      remit approve {id} --signature {}", file.display());
            return Ok(0);
        }
        let case = decide(&host, &rules, &by, id, opinion).await?;
        tell(home, &rules, &case, self.json)
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit deny req-01jd2m4k9x8s7t6v5w4y3z2a1b --reason 'wrong secret' --key alice.key"
)]
pub(crate) struct Deny {
    /// The request, or the beginning of its name.
    request: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    key: Key,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Deny {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let (rules, by) = self.key.identify(home)?;
        let host = open(home).await?;
        let id = host.journal.reader()?.find_request(&self.request)?;
        let opinion = Opinion { approve: false, reason: self.reason, expect: None };
        let case = decide(&host, &rules, &by, id, opinion).await?;
        told(&host).await;
        tell(home, &rules, &case, self.json)
    }
}
