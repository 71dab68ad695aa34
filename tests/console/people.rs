//! A home with a server and a console, and people with browsers and passkeys.

use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use serde_json::{Value, json};

use super::chromium::{CERTIFICATE, Chromium, Tab};
use crate::common::World;
use crate::common::server::Server;

/// One browser for all tests that run at once.
pub fn browser() -> Arc<Chromium> {
    static BROWSER: LazyLock<Mutex<Weak<Chromium>>> = LazyLock::new(Mutex::default);
    let mut browser = BROWSER.lock().unwrap();
    browser.upgrade().unwrap_or_else(|| {
        let started = Chromium::start();
        *browser = Arc::downgrade(&started);
        started
    })
}

pub struct Console {
    pub world: World,
    pub server: Option<Server>,
    /// Where the console is: a name that passkeys may be for.
    pub url: String,
    pub browser: Arc<Chromium>,
}

impl Console {
    /// A home whose rules say that passkeys sign at its console; two people must agree to anything.
    pub fn new() -> Self {
        Self::of(World::new())
    }

    pub fn of(world: World) -> Self {
        Self::at_port(world, "http", "")
    }

    /// The same with TLS, as others than this machine reach it.
    pub fn over_tls() -> Self {
        let world = World::new();
        world.private("home/chain.pem", &CERTIFICATE.chain);
        world.private("home/key.pem", &CERTIFICATE.key);
        Self::at_port(world, "https", "[server.tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n")
    }

    fn at_port(world: World, scheme: &str, more: &str) -> Self {
        // A port that is free now: the rules name it before there is a server.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("{scheme}://localhost:{port}");
        let own = if scheme == "https" { format!("url = \"{url}\"\n") } else { String::new() };
        let rate = "[server.rate]\nper_minute = 1_000_000\nburst = 1_000_000\n";
        world.configure(&format!("\n[server]\nlisten = \"127.0.0.1:{port}\"\n{own}{rate}{more}"));
        let principals = world.home().join("principals.toml");
        let text = fs::read_to_string(&principals).unwrap();
        let passkeys = format!("[passkeys]\nrp = \"localhost\"\norigins = [\"{url}\"]\n\n");
        fs::write(&principals, passkeys + &text).unwrap();
        world.policies(
            &crate::common::POLICY.replace("1 human", "2 human").replace("one-human", "two-humans"),
        );
        let server = Some(Server::of(&world));
        Self { world, server, url, browser: browser() }
    }

    /// A person with a browser, whose passkey an administrator puts into the rules.
    pub fn person(&self, name: &str) -> Tab {
        let tab = self.browser.tab();
        tab.go(&format!("{}/console/enrol", self.url));
        tab.write("#name", name);
        tab.click("#enrol button");
        tab.shows("For your administrator");
        let id = tab.text("document.getElementById('key-id').textContent");
        self.world.write("enrolment.json", tab.text("document.getElementById('envelope').value"));
        let lines = self.world.remit(&["rules", "enrol", "enrolment.json"]).exits(0).out;
        assert!(lines.contains(&id), "{lines}");
        let principals = self.world.home().join("principals.toml");
        fs::write(&principals, fs::read_to_string(&principals).unwrap() + "\n" + &lines).unwrap();
        self.world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
        tab
    }

    /// The same, who then signs in.
    pub fn signed_in(&self, name: &str) -> Tab {
        let tab = self.person(name);
        self.sign_in(&tab, name);
        tab
    }

    pub fn sign_in(&self, tab: &Tab, name: &str) {
        tab.go(&format!("{}/console/login", self.url));
        tab.write("#name", name);
        tab.click("#login button");
        tab.until("location.pathname === '/console' && document.querySelector('h1')");
    }

    /// The bot asks for a rotation; the name of the request.
    pub fn ask(&self, reason: &str) -> String {
        self.ask_with(reason, &[])
    }

    /// The same with more of what can be asked.
    pub fn ask_with(&self, reason: &str, more: &[&str]) -> String {
        let input = format!("path={}", crate::common::SECRET);
        let what = ["request", "rotate-secret.wasm", "--input", &input, "--reason", reason];
        let asked = self.world.remit(&[&what[..], more, &["--key", "bot.key", "--json"]].concat());
        asked.exits(0).json()["request"]["id"].as_str().unwrap().to_owned()
    }

    /// A request as the command line has it.
    pub fn request(&self, request: &str) -> Value {
        self.world.remit(&["request", "show", request, "--json"]).exits(0).json()
    }

    /// Somebody opens a request, and signs a form of it, with a reason if they give one.
    pub fn signs(&self, tab: &Tab, request: &str, form: &str, reason: Option<&str>) {
        tab.go(&self.at(&format!("/console/requests/{request}")));
        if let Some(reason) = reason {
            tab.write(&format!("{form} textarea"), reason);
        }
        tab.eval("window.before = true");
        tab.click(&format!("{form} button"));
        // What comes then is another page.
        tab.until("!window.before && document.readyState === 'complete'");
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub fn stop(&mut self) {
        self.server.take().unwrap().kill();
    }

    pub fn serve(&mut self) {
        self.server = Some(Server::of(&self.world));
    }
}

/// Calls a route of the console from a page of it; the status and the answer.
pub fn call(tab: &Tab, path: &str, body: &Value) -> (u64, Value) {
    let script = format!(
        "fetch({}, {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: JSON.stringify({body})}})
            .then(async (answer) => ({{status: answer.status, told: await answer.json().catch(() => null)}}))",
        json!(path)
    );
    let found = tab.eval(&script);
    (found["status"].as_u64().unwrap(), found["told"].clone())
}

/// Has the passkey sign what was prepared, as the page's own script does, or with another challenge.
pub fn sign(tab: &Tab, prepared: &Value, challenge_of: &Value) -> Value {
    let script = format!(
        "(async () => {{
            const {{rp, credential}} = document.body.dataset;
            const found = await navigator.credentials.get({{publicKey: {{
                challenge: await challenge({challenge_of}), rpId: rp, userVerification: 'required',
                allowCredentials: [{{type: 'public-key', id: fromBase64(credential)}}],
            }}}});
            return {{
                payloadType: {prepared}.payloadType, payload: {prepared}.payload, credential: toBase64url(found.rawId),
                authenticatorData: toBase64url(found.response.authenticatorData),
                clientDataJSON: toBase64url(found.response.clientDataJSON),
                signature: toBase64url(found.response.signature),
            }};
        }})()"
    );
    tab.eval(&script)
}

/// What is prepared for a decision.
pub fn prepare(tab: &Tab, request: &str, approve: bool) -> Value {
    let body = json!({"approve": approve, "reason": "looked at it"});
    let (status, prepared) = call(tab, &format!("/console/prepare/decision/{request}"), &body);
    assert_eq!(status, 200, "{prepared}");
    prepared
}
