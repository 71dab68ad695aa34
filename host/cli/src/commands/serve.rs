//! `remit serve`.

use clap::Args;
use remit_lifecycle::Home;
use remit_server::Server;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::common::{Done, usage};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit serve --home /var/lib/remit\n\nIt listens where [server] in remit.toml says: 127.0.0.1:8520 if nothing is said. SIGTERM and SIGINT stop it:\nno run starts any more, and those in progress come to their end."
)]
pub(crate) struct Serve;

impl Serve {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let unheard =
            |error| usage(format!("signals cannot be heard: {error}"), "this is an error of the system");
        let mut end = signal(SignalKind::terminate()).map_err(unheard)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
        let server = Server::start(home).await?;
        say!("serving   {}", server.url());
        tell_systemd(NotifyState::Ready);
        let stop = async move {
            tokio::select! {
                _ = end.recv() => {}
                _ = interrupt.recv() => {}
            }
            tell_systemd(NotifyState::Stopping);
        };
        server.serve(stop).await?;
        say!("stopped");
        Ok(0)
    }
}

/// Tells systemd, if it started this process and waits for that (`Type=notify`).
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        print::warn(&format!("note: systemd could not be told: {error}"));
    }
}
