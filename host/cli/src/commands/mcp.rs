//! `remit mcp`.

use clap::Args;
use remit_lifecycle::KeyHolder;
use remit_mcp::Remote;
use remit_server::{ServeError, tools_at_home};
use remit_trust::Signer;

use super::common::Done;
use super::signing::Key;
use crate::place::Place;

#[derive(Args)]
#[command(
    after_help = "It is started by a client of the Model Context Protocol, and speaks with it over standard input and output.\nIt reads, rehearses, proposes and starts in the name of the key; it cannot approve anything.\n\nExamples, as a client's configuration has them:\n  remit mcp --context prod            through a server, with the context's key\n  remit mcp --home DIR --key bot.key  at a home"
)]
pub(crate) struct Mcp {
    #[command(flatten)]
    key: Key,
}

impl Mcp {
    pub(crate) async fn run(self, place: &Place) -> Done {
        match place.server()? {
            Some(server) => {
                let served = remit_mcp::stdio(Remote::new(server.into_client())).await;
                served.map_err(ServeError::Tools)?;
            }
            None => {
                tools_at_home(place.home()?, KeyHolder::from(Signer::load(self.key.file()?)?)).await?;
            }
        }
        Ok(0)
    }
}
