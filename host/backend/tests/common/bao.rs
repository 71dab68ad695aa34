//! A real OpenBao server of a test's own: in memory, on a free loopback port, gone when dropped.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The token that may do everything.
pub const ROOT: &str = "root";

/// A running server.
pub struct Bao {
    binary: PathBuf,
    process: Child,
    socket: SocketAddr,
    tls: bool,
    folder: tempfile::TempDir,
}

impl Bao {
    /// Starts `bao server -dev`, which has KV version 2 at `secret`.
    ///
    /// # Panics
    /// If `REMIT_BAO` does not name the binary: `cargo xtask test` installs it and sets the variable.
    pub fn start() -> Self {
        Self::start_with(false)
    }

    /// The same over TLS, with a CA of its own: see [`Bao::ca`].
    ///
    /// # Panics
    /// As [`Bao::start`].
    pub fn start_tls() -> Self {
        Self::start_with(true)
    }

    fn start_with(tls: bool) -> Self {
        let binary = std::env::var_os("REMIT_BAO").map(PathBuf::from).expect(
            "these tests need a real OpenBao server: run `cargo xtask test`, which installs one, \
             or set REMIT_BAO to the path of `bao`",
        );
        // Another process may take the port between our asking and the server's: then try another.
        for _ in 0..5 {
            if let Some(bao) = Self::try_start(&binary, tls) {
                return bao;
            }
        }
        panic!("{} did not start", binary.display());
    }

    fn try_start(binary: &Path, tls: bool) -> Option<Self> {
        let socket = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(binary);
        server
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address={socket}"));
        if tls {
            server.arg("-dev-tls").arg(format!("-dev-tls-cert-dir={}", folder.path().display()));
        }
        let process = server
            // Its client would keep a token file there.
            .env("HOME", folder.path())
            .env_remove("BAO_ADDR")
            .env_remove("BAO_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("REMIT_BAO={}: {error}", binary.display()));
        let mut bao = Self { binary: binary.to_owned(), process, socket, tls, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if bao.process.try_wait().unwrap().is_some() {
                return None;
            }
            // The mount `secret` is made last.
            let ready = if tls {
                bao.try_client(ROOT, &["read", "secret/config"]).status.success()
            } else {
                bao.get("/v1/secret/config").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            };
            if ready {
                return Some(bao);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    /// `http://127.0.0.1:PORT`, or https.
    pub fn address(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.socket)
    }

    /// The CA of a server over TLS.
    pub fn ca(&self) -> PathBuf {
        let named = |part: &str| {
            std::fs::read_dir(self.folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(part)))
        };
        named("-ca.pem").unwrap_or_else(|| self.folder.path().join("not-there-yet-ca.pem"))
    }

    /// Runs OpenBao's own client with the root token; what it prints.
    ///
    /// # Panics
    /// If the client fails.
    pub fn client(&self, arguments: &[&str]) -> String {
        self.client_as(ROOT, arguments)
    }

    /// The same with another token.
    ///
    /// # Panics
    /// If the client fails.
    pub fn client_as(&self, token: &str, arguments: &[&str]) -> String {
        let output = self.try_client(token, arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bao {arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs OpenBao's own client, whatever comes of it.
    pub fn try_client(&self, token: &str, arguments: &[&str]) -> Output {
        let mut client = Command::new(&self.binary);
        if self.tls {
            client.env("BAO_CACERT", self.ca());
        }
        client
            .args(arguments)
            .env("BAO_ADDR", self.address())
            .env("BAO_TOKEN", token)
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// One field of a secret's version, read by OpenBao's own client.
    pub fn value(&self, path: &str, version: u64, field: &str) -> String {
        let (version, field) = (format!("-version={version}"), format!("-field={field}"));
        self.client(&["kv", "get", "-mount=secret", &version, &field, path]).trim_end().to_owned()
    }

    /// A token with just this policy, valid for `ttl` (such as `1h`).
    pub fn token(&self, policy: &str, ttl: &str) -> String {
        let file = self.folder.path().join("policy.hcl");
        std::fs::write(&file, policy).unwrap();
        self.client(&["policy", "write", "test", &file.to_string_lossy()]);
        let ttl = format!("-ttl={ttl}");
        self.client(&["token", "create", "-policy=test", &ttl, "-field=token"]).trim().to_owned()
    }

    /// Kills the server, as a power cut would.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.stop();
    }
}
