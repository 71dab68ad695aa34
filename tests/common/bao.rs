//! A real OpenBao server for a test: in memory, on a free loopback port, gone with the value.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Ran, SECRET, World, proxy, scope};

pub struct Bao {
    server: Child,
    binary: String,
    pub address: String,
}

impl Bao {
    pub const TOKEN: &str = "root-for-tests";

    pub fn start() -> Self {
        let binary =
            std::env::var("REMIT_BAO").expect("REMIT_BAO is not set: run the tests with `cargo xtask test`");
        // The port is free now; the rare loser of the race for it tries again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let listen = format!("127.0.0.1:{port}");
            let server = Command::new(&binary)
                .args(["server", "-dev", "-dev-no-store-token"])
                .arg(format!("-dev-root-token-id={}", Self::TOKEN))
                .arg(format!("-dev-listen-address={listen}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut bao = Self { server, binary: binary.clone(), address: format!("http://{listen}") };
            if bao.answers() {
                return bao;
            }
        }
        panic!("no OpenBao server came up");
    }

    fn answers(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if self.try_client(&["secrets", "list"]).is_some() {
                return true;
            }
            if self.server.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// OpenBao's own client; nothing if it says no.
    pub fn try_client(&self, args: &[&str]) -> Option<String> {
        self.client_as(Self::TOKEN, args)
    }

    /// The same of somebody else.
    pub fn client_as(&self, token: &str, args: &[&str]) -> Option<String> {
        let output = Command::new(&self.binary)
            .args(args)
            .env("BAO_ADDR", &self.address)
            .env("BAO_TOKEN", token)
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// The same for what it must not refuse.
    #[track_caller]
    pub fn client(&self, args: &[&str]) -> String {
        self.try_client(args).unwrap_or_else(|| panic!("bao {args:?} failed"))
    }

    /// Mounts one more engine of KV version 2. The server makes it ready after it has answered: until then each
    /// call to the engine is refused with status 400, so that this waits.
    #[track_caller]
    pub fn mount(&self, path: &str) {
        self.client(&["secrets", "enable", &format!("-path={path}"), "-version=2", "kv"]);
        let until = Instant::now() + Duration::from_secs(30);
        while self.try_client(&["read", &format!("{path}/config")]).is_none() {
            assert!(Instant::now() < until, "the engine `{path}` did not become ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The server's API, for what need not be OpenBao's own client: that takes long to start.
    #[track_caller]
    pub fn api(address: &str, method: &str, path: &str, body: &Value) -> Value {
        let request = ureq::http::Request::builder().method(method).uri(format!("{address}/v1/{path}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("X-Vault-Token", Self::TOKEN).body(body).unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {} {text}", answer.status());
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// One version of a secret, as OpenBao's own client sees it.
    pub fn value(&self, path: &str, version: u64) -> Value {
        let version = format!("-version={version}");
        serde_json::from_str(&self.client(&["kv", "get", "-format=json", "-mount=secret", &version, path]))
            .unwrap()
    }

    pub fn metadata(&self, path: &str) -> Value {
        serde_json::from_str(&self.client(&["kv", "metadata", "get", "-format=json", "-mount=secret", path]))
            .unwrap()
    }

    /// The `[[secrets]]` entry that serves `prod` from this server.
    pub fn config(&self) -> String {
        format!(
            "\n[[secrets]]\nprefix = \"prod\"\nbackend = \"openbao\"\naddress = \"{}\"\ntoken_env = \"TEST_TOKEN\"\ntimeout = \"2s\"\n",
            self.address
        )
    }

    pub fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A home with a run whose call is in doubt.
pub struct Doubt {
    pub bao: Bao,
    pub world: World,
    pub run: String,
}

impl Doubt {
    /// A run that destroyed a version and was never told so.
    pub fn about_a_destroy(head: &str) -> Self {
        let bao = Bao::start();
        bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=old-value"]);
        let world = World::empty();
        let config = world.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        let cut = proxy::swallowing(&bao.address, "PUT /v1/secret/destroy");
        fs::write(&config, text + &bao.config().replace(&bao.address, &cut)).unwrap();
        let input = format!(r#"{{"do":"destroy","path":"{SECRET}","version":1}}"#);
        let scope = scope(head, SECRET)
            .replace("\"remit:secrets/destroy\"", "\"remit:secrets/destroy\"\nirrevocable = true");
        world.grant_scope(&scope, "misbehave.wasm", &input, "g");
        let request = world.request("g");
        let args = ["run", &request, "--key", "bot.key", "--json"];
        let ran = world.remit(&args).exits(5).json();
        assert_eq!(ran["state"], "in-doubt", "{ran}");
        Self { bao, world, run: ran["run"].as_str().unwrap().to_owned() }
    }

    pub fn does(&self, args: &[&str]) -> Ran {
        self.world.remit(args)
    }
}
