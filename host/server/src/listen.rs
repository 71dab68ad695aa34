//! Connections: how many there may be, how long each may take to say what it wants, and TLS.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use remit_file::Kind;
use remit_lifecycle::TlsConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::app::App;
use crate::error::ServeError;
use crate::linger::Linger;
use crate::rate::Peer;

/// How many connections there may be at once. More wait in the system's queue.
const CONNECTIONS: usize = 1_024;
/// How long a client may take for the TLS handshake, and then for the headers of a call.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections may go on after the server was told to stop.
const FAREWELL: Duration = Duration::from_secs(20);

/// Serves until the server is told to stop.
pub(crate) async fn listen(listener: TcpListener, tls: Option<Arc<Tls>>, app: App, service: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE).max_headers(64);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(HANDSHAKE);
    let mut stopping = app.stopping.clone();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok((stream, from)) => (stream, Peer(from.ip())),
            Err(error) => {
                // Most often no file descriptor is free: wait until one is.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (service, tls, http, watcher) = (service.clone(), tls.clone(), http.clone(), graceful.watcher());
        let connections = app.metrics.connections.clone();
        let stopping = app.stopping.clone();
        tokio::spawn(async move {
            let _place = place;
            connections.inc();
            match tls {
                None => serve(Linger::new(stream, stopping), peer, service, &http, watcher).await,
                Some(tls) => match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => {
                        serve(Linger::new(stream, stopping), peer, service, &http, watcher).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS with this client"),
                    Err(_) => tracing::debug!("a client took too long for TLS"),
                },
            }
            connections.dec();
        });
    }
    drop(listener);
    if timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were cut: they went on for too long");
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    service: Router,
    http: &Builder<TokioExecutor>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = TowerToHyperService::new(tower::util::MapRequest::new(
        service,
        move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.map(axum::body::Body::new)
        },
    ));
    let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A file's identity and state.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The server's certificate, read again when its files change.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    now: Mutex<(Vec<Stamp>, Arc<ServerConfig>)>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    authorities: Option<PathBuf>,
}

impl Files {
    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
        };
        [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| stamp(path))
            .collect()
    }

    fn read(&self) -> Result<ServerConfig, ServeError> {
        let wrong = |path: &Path, why: String| ServeError::Tls { file: path.display().to_string(), why };
        let certificates = |path: &Path| {
            let bytes = remit_file::trusted(path, Kind::Certificates)?.into_bytes();
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
            match read {
                Ok(read) if read.is_empty() => Err(wrong(path, "it has no certificate in PEM".to_owned())),
                Ok(read) => Ok(read),
                Err(error) => Err(wrong(path, error.to_string())),
            }
        };
        let chain = certificates(&self.certificate)?;
        let bytes = remit_file::trusted(&self.key, Kind::Key)?;
        let key = PrivateKeyDer::from_pem_slice(bytes.bytes())
            .map_err(|error| wrong(&self.key, error.to_string()))?;
        let config = ServerConfig::builder();
        let config = match &self.authorities {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| wrong(path, error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                config.with_client_cert_verifier(verifier.map_err(|error| wrong(path, error.to_string()))?)
            }
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&self.certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Tls {
    /// Reads the files; paths are relative to `home`.
    pub(crate) fn open(home: &Path, config: &TlsConfig) -> Result<Self, ServeError> {
        let files = Files {
            certificate: home.join(&config.certificate),
            key: home.join(&config.key),
            authorities: config.client_authorities.as_ref().map(|file| home.join(file)),
        };
        let stamps = files.stamps();
        let config = files.read()?;
        Ok(Self { files, now: Mutex::new((stamps, Arc::new(config))) })
    }

    /// For one connection. A certificate that cannot be read leaves the one before in use.
    fn acceptor(&self) -> TlsAcceptor {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.files.stamps();
        if now.0 != stamps {
            match self.files.read() {
                Ok(config) => {
                    tracing::info!("the certificate was read anew");
                    *now = (stamps, Arc::new(config));
                }
                Err(error) => {
                    tracing::error!(%error, "the new certificate cannot be used: the one before stays");
                    now.0 = stamps;
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&now.1))
    }
}

/// Whether only this machine reaches an address.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}
