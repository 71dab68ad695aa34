//! `remit mcp`.

use clap::Args;
use remit_lifecycle::KeyHolder;
use remit_mcp::Remote;
use remit_server::{ServeError, tools_at_home};
use remit_trust::Signer;

use super::common::Done;
use super::sealed::SecretInputs;
use super::signing::Key;
use crate::place::Place;

#[derive(Args)]
#[command(
    after_help = "It is started by a client of the Model Context Protocol, and speaks with it over standard input and output.\nIt reads, rehearses, proposes and starts in the name of the key; it cannot approve anything.\n\nExamples, as a client's configuration has them:\n  remit mcp --context prod            through a server, with the context's key\n  remit mcp --home DIR --key bot.key  at a home\n  remit mcp --context prod --secret-input token=@leaked.txt    a tool may give `token` to an action, and never sees it"
)]
pub(crate) struct Mcp {
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    sealed: SecretInputs,
}

impl Mcp {
    pub(crate) async fn run(self, place: &Place) -> Done {
        match place.server()? {
            Some(server) => {
                let sealed = self.sealed.read(&server.about().log)?.into_values();
                let served = remit_mcp::stdio(Remote::new(server.into_client(), sealed)).await;
                served.map_err(ServeError::Tools)?;
            }
            None => {
                let home = place.home()?;
                let sealed = self.sealed.read(&home.load()?.log)?.into_values();
                tools_at_home(home, KeyHolder::from(Signer::load(self.key.file()?)?), sealed).await?;
            }
        }
        Ok(0)
    }
}
