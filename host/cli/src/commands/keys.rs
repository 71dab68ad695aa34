//! `remit keys`.

use std::path::PathBuf;

use clap::Subcommand;
use remit_trust::SigningKey;

use super::common::Done;
use crate::print::say;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Create a P-256 key pair: NAME.key (PKCS#8, mode 0600) and NAME.pub (SPKI), both PEM.
    #[command(
        after_help = "Example:\n  remit keys new --out publisher\n\nP-256 keys of other tools work too:\n  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out publisher.key"
    )]
    New {
        /// The path of the files, without .key and .pub.
        #[arg(long, value_name = "NAME")]
        out: PathBuf,
    },
}

impl Keys {
    pub(crate) fn run(self) -> Done {
        let Self::New { out } = self;
        let key = SigningKey::generate()?;
        let (private, public) = key.write_pair(&out)?;
        say!("private   {}   keep it secret", private.display());
        say!("public    {}", public.display());
        say!("key id    {}", key.verifying_key().id());
        Ok(0)
    }
}
