//! `remit keys`.

use std::path::PathBuf;

use clap::Subcommand;
use remit_trust::SigningKey;

use super::Done;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a P-256 key pair: NAME.key (PKCS#8, mode 0600) and NAME.pub (SPKI), both PEM.
    New {
        /// Where, without ending.
        #[arg(long, value_name = "NAME")]
        out: PathBuf,
    },
}

impl Keys {
    pub(crate) fn run(self) -> Done {
        let Self::New { out } = self;
        let key = SigningKey::generate()?;
        let (private, public) = key.write_pair(&out)?;
        println!("private   {}   keep it to yourself", private.display());
        println!("public    {}", public.display());
        println!("key id    {}", key.verifying_key().id());
        Ok(0)
    }
}
