//! Debian's Chromium, driven over its `DevTools` protocol: <https://chromedevtools.github.io/devtools-protocol/>. The messages go
//! over a pipe, each ended by a zero byte, so that no port is open and no WebSocket is needed.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData as _;
use remit_trust::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A certificate for this machine, which the browser of these tests takes as if it knew who signed it.
pub struct Certificate {
    pub chain: String,
    pub key: String,
    /// How Chromium is told of it.
    pin: String,
}

pub static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let chain = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    let pin = STANDARD.encode(Digest::of(&key.subject_public_key_info()).as_bytes());
    Certificate { chain, key: key.serialize_pem(), pin }
});

/// How long anything that a page does may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Heard {
    /// Who waits for the answer to which message.
    answers: HashMap<u64, Sender<Value>>,
    /// The events of each tab, by its session.
    events: HashMap<String, Vec<Value>>,
}

/// A browser without a window.
pub struct Chromium {
    child: Child,
    to: Mutex<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    next: AtomicU64,
    _profile: TempDir,
}

impl Chromium {
    pub fn start() -> Arc<Self> {
        let program = std::env::var_os("REMIT_CHROMIUM");
        let program = program.expect("REMIT_CHROMIUM is not set: run the tests with `cargo xtask test`");
        let profile = TempDir::new().unwrap();
        // The protocol is at the descriptors 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"]).arg(program);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--lang=en",
            // A test runs as root where it is in a container.
            "--no-sandbox",
            "--disable-dev-shm-usage",
        ]);
        command.arg(format!("--ignore-certificate-errors-spki-list={}", CERTIFICATE.pin));
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        // A zone that is not UTC, so that it shows where a page has the reader's own.
        command
            .env("TZ", "Asia/Kolkata")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0) {
                let Ok(message) = message else { return };
                let message: Value = serde_json::from_slice(&message).unwrap();
                let mut heard = hears.lock().unwrap();
                if let Some(id) = message["id"].as_u64() {
                    if let Some(waits) = heard.answers.remove(&id) {
                        let _ = waits.send(message);
                    }
                } else if let Some(session) = message["sessionId"].as_str() {
                    heard.events.entry(session.to_owned()).or_default().push(message);
                }
            }
        });
        Arc::new(Self { child, to: Mutex::new(to), heard, next: AtomicU64::new(1), _profile: profile })
    }

    fn send(&self, session: Option<&str>, method: &str, params: &Value) -> Receiver<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let (waits, answer) = channel();
        self.heard.lock().unwrap().answers.insert(id, waits);
        let mut to = self.to.lock().unwrap();
        to.write_all(message.to_string().as_bytes()).unwrap();
        to.write_all(&[0]).unwrap();
        to.flush().unwrap();
        answer
    }

    #[track_caller]
    fn call(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let answer = self.send(session, method, params).recv_timeout(PATIENCE);
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {method} {params}"));
        assert!(answer["error"].is_null(), "{method} {params}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// A tab of its own: with no cookie of any other, and an authenticator that checks who uses it.
    pub fn tab(self: &Arc<Self>) -> Tab {
        let context = self.call(None, "Target.createBrowserContext", &json!({}))["browserContextId"].clone();
        let target = self.call(
            None,
            "Target.createTarget",
            &json!({"url": "about:blank", "browserContextId": context, "width": 1280, "height": 900}),
        )["targetId"]
            .clone();
        let attached =
            self.call(None, "Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let mut tab = Tab { chromium: Arc::clone(self), session, authenticator: String::new(), context };
        for domain in ["Page", "Runtime", "Network", "Log", "Audits"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        tab.call("WebAuthn.enable", &json!({}));
        tab.authenticator = tab.add_authenticator();
        tab
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Tab {
    chromium: Arc<Chromium>,
    session: String,
    authenticator: String,
    context: Value,
}

impl Tab {
    #[track_caller]
    pub fn call(&self, method: &str, params: &Value) -> Value {
        self.chromium.call(Some(&self.session), method, params)
    }

    /// One more tab of the same browser session, without an authenticator.
    pub fn another(&self) -> Tab {
        let target = self.chromium.call(
            None,
            "Target.createTarget",
            &json!({"url": "about:blank", "browserContextId": self.context}),
        )["targetId"]
            .clone();
        let attached =
            self.chromium.call(None, "Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let (chromium, context) = (Arc::clone(&self.chromium), self.context.clone());
        let tab = Tab { chromium, session, authenticator: String::new(), context };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        tab
    }

    fn add_authenticator(&self) -> String {
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "automaticPresenceSimulation": true,
        });
        let added = self.call("WebAuthn.addVirtualAuthenticator", &json!({"options": options}));
        added["authenticatorId"].as_str().unwrap().to_owned()
    }

    /// Calls the authenticator.
    #[track_caller]
    pub fn authenticator(&self, method: &str, mut params: Value) -> Value {
        params["authenticatorId"] = self.authenticator.as_str().into();
        self.call(&format!("WebAuthn.{method}"), &params)
    }

    /// The events so far, which are forgotten by that.
    pub fn events(&self) -> Vec<Value> {
        self.chromium.heard.lock().unwrap().events.remove(&self.session).unwrap_or_default()
    }

    /// Opens a page, and waits until all of it is there.
    #[track_caller]
    pub fn go(&self, url: &str) {
        let went = self.call("Page.navigate", &json!({"url": url}));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// What an expression is, once it is there.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let found = self.call("Runtime.evaluate", &params);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {}", found["exceptionDetails"]);
        found["result"]["value"].clone()
    }

    #[track_caller]
    pub fn text(&self, expression: &str) -> String {
        let found = self.eval(expression);
        found.as_str().unwrap_or_else(|| panic!("{expression}: {found}")).to_owned()
    }

    /// Waits until an expression is true, in whatever page is there then.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let limit = Instant::now() + PATIENCE;
        let params = json!({"expression": format!("Boolean({expression})"), "returnByValue": true});
        loop {
            let answer = self.chromium.send(Some(&self.session), "Runtime.evaluate", &params);
            let answer = answer.recv_timeout(PATIENCE).expect("the browser answers");
            if answer["result"]["result"]["value"] == true {
                return;
            }
            let page = || self.text("location.href + '\\n' + document.body.innerText");
            assert!(Instant::now() < limit, "never {expression}: {answer}\n{}", page());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn shows(&self, words: &str) {
        self.until(&format!("document.body && document.body.innerText.includes({})", json!(words)));
    }

    /// Writes into a field.
    #[track_caller]
    pub fn write(&self, selector: &str, text: &str) {
        self.eval(&format!("document.querySelector({}).value = {}", json!(selector), json!(text)));
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.until(&format!(
            "document.querySelector({0}) && !document.querySelector({0}).disabled",
            json!(selector)
        ));
        self.eval(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// The size of the screen, and whether it is dark.
    pub fn screen(&self, width: u32, height: u32, dark: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// A picture of the page, at most so high: `png`, which is exact, or `webp`, which is small, and made smaller.
    pub fn picture(&self, format: &str, highest: u64) -> Vec<u8> {
        let size = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"].as_u64().unwrap().min(highest), "scale": if format == "webp" { 0.75 } else { 1.0 }});
        let mut how = json!({"format": format, "captureBeyondViewport": true, "clip": clip});
        if format == "webp" {
            how["quality"] = 60.into();
        }
        let shot = self.call("Page.captureScreenshot", &how);
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }
}
