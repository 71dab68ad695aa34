//! The server: one process holds the credentials, the keys and the journal; who is outside can do nothing but prepare, sign
//! and submit. Nothing is decided here: every route calls [`remit_lifecycle`], and looks only at who may read.
#![forbid(unsafe_code)]

mod api;
mod app;
mod console;
mod error;
mod exchange;
mod guard;
mod linger;
mod listen;
mod mcp;
mod metrics;
mod openapi;
mod problem;
mod rate;
mod rest;
mod routes;
mod traces;
mod turns;
mod who;
mod work;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use remit_lifecycle::{Config, Home, Host, KeyHolder, recover};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use app::{App, Shared};
pub use error::ServeError;
use listen::Tls;
pub use traces::layer as traces;
pub use who::check_proof;

/// Where a server listens if nobody says.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8520);
/// How many rehearsals, uploads and starts are worked on at once.
const HEAVY: usize = 8;
/// How many components may be received at once.
const UPLOADS: usize = 2;
/// How many streams may be open at once.
const STREAMS: usize = 1_000;

/// A server that listens, and has not begun to serve.
pub struct Server {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    host: Host,
    url: String,
    hosts: Vec<String>,
    origins: Vec<String>,
    rates: rate::Rates,
    metrics: metrics::Metrics,
}

impl Server {
    /// Opens the home, brings every run that a killed host left to a state, and listens.
    pub async fn start(home: &Home) -> Result<Self, ServeError> {
        let config = home.load()?;
        let address = config.server.listen.unwrap_or(LISTEN);
        let tls =
            config.server.tls.as_ref().map(|tls| Tls::open(home.path(), tls)).transpose()?.map(Arc::new);
        if tls.is_none() && !listen::is_local(address) {
            return Err(ServeError::Config {
                why: format!("`listen` is {address}, which others reach, and there is no certificate"),
                help: "add [server.tls], or listen at 127.0.0.1 and let a proxy on this machine do TLS",
            });
        }
        let rates = rate::Rates::new(&config.server.rate)?;
        let metrics = metrics::Metrics::default();
        if let Some(traces) = &config.server.traces {
            traces::start(traces, &metrics.traces_dropped)?;
        }
        let host = home.open()?;
        home.clear_received()?;
        work::tell(&recover(&host).await?);
        let refused = |error: std::io::Error| ServeError::Listen {
            address: address.to_string(),
            why: error.to_string(),
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        // The port, where the system chose it.
        let address = listener.local_addr().map_err(refused)?;
        let url = url(&config, address, tls.is_some())?;
        let mut hosts = vec![authority(&url).to_owned()];
        let mut origins = vec![url.clone()];
        if listen::is_local(address) {
            let local = format!("localhost:{}", address.port());
            // Browsers let passkeys sign at a name, and at no address.
            origins.push(format!("{}://{local}", if tls.is_some() { "https" } else { "http" }));
            hosts.extend([address.to_string(), local]);
        }
        Ok(Self { listener, tls, host, url, hosts, origins, rates, metrics })
    }

    /// The URL by which clients reach it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves until `stop`. Runs that go on are then brought to their end; none is started any more.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (stopping, stopped) = watch::channel(false);
        let (records, grown) = watch::channel(0);
        let host = self.host;
        let names = (self.url, self.hosts, self.origins);
        let app = app(host.clone(), names, (self.rates, self.metrics), grown, stopped);
        let looks = tokio::spawn(work::look(host.clone(), records));
        let rounds = tokio::spawn(work::rounds(app.clone()));
        let service = guard::service(&app);
        let served = tokio::spawn(listen::listen(self.listener, self.tls, app, service));
        stop.await;
        tracing::info!("stopping: nothing more is started");
        stopping.send_replace(true);
        let _ = served.await;
        let _ = rounds.await;
        host.finish().await?;
        looks.abort();
        tokio::task::block_in_place(traces::flush);
        Ok(())
    }
}

fn app(
    host: Host,
    (url, hosts, origins): (String, Vec<String>, Vec<String>),
    (rates, metrics): (rate::Rates, metrics::Metrics),
    records: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
) -> App {
    App::new(Shared {
        host,
        url,
        hosts,
        origins,
        description: openapi::description(),
        sessions: who::Sessions::default(),
        browsers: console::Browsers::default(),
        metrics,
        rates,
        records,
        reminded: AtomicI64::default(),
        stopping,
        heavy: Arc::new(Semaphore::new(HEAVY)),
        uploads: Semaphore::new(UPLOADS),
        streams: Arc::new(Semaphore::new(STREAMS)),
        turns: turns::Turns::default(),
    })
}

/// Serves the tools of the Model Context Protocol over standard input and output, in front of a home and without a server,
/// to the principal whose key this is. Returns when the input is closed and every run has come to its end.
pub async fn tools_at_home(home: &Home, by: KeyHolder, sealed: remit_mcp::Sealed) -> Result<(), ServeError> {
    let config = home.load()?;
    let host = home.open()?;
    host.identify(by.key())?;
    work::tell(&recover(&host).await?);
    let (stopping, stopped) = watch::channel(false);
    let (_records, grown) = watch::channel(0);
    let url = config.server.url.map(|url| url.trim_end_matches('/').to_owned());
    let counts = (rate::Rates::new(&config.server.rate)?, metrics::Metrics::default());
    let names = (url.clone().unwrap_or_default(), Vec::new(), Vec::new());
    let app = app(host.clone(), names, counts, grown, stopped);
    let rounds = tokio::spawn(work::rounds(app.clone()));
    let key = by.key().clone();
    let served = match mcp::Local::new(app, (url, None), key, Some(Arc::new(by)), sealed) {
        Ok(local) => remit_mcp::stdio(local).await.map_err(ServeError::Tools),
        Err(problem) => Err(ServeError::Tools(problem.to_string())),
    };
    stopping.send_replace(true);
    let _ = rounds.await;
    host.finish().await?;
    served
}

/// The URL by which clients reach the server, without a slash at its end.
fn url(config: &Config, address: SocketAddr, tls: bool) -> Result<String, ServeError> {
    let scheme = if tls { "https" } else { "http" };
    let Some(url) = &config.server.url else {
        if address.ip().is_unspecified() {
            return Err(ServeError::Config {
                why: format!("`listen` is {address}, every address of this machine, and `url` is missing"),
                help: "say in `url` by which name clients reach it, such as https://remit.example",
            });
        }
        return Ok(format!("{scheme}://{address}"));
    };
    let url = url.trim_end_matches('/');
    let parsed: Option<hyper::Uri> = url.parse().ok();
    let plain = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path() == "/"
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if plain && !url.ends_with('/') {
        return Ok(url.to_owned());
    }
    Err(ServeError::Config {
        why: format!("`url` is `{}`", url.escape_debug()),
        help: "write the scheme and the name, and no path: https://remit.example",
    })
}

/// The name and port of a URL.
fn authority(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, authority)| authority)
}
