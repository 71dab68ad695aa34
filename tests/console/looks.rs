//! How the pages look and read: for everybody, on each screen, without a script, however strange the texts of others are; how much is
//! sent for them, and how long a list takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use remit_journal::{ActionRef, Ended, Journal, Mode, Record, RunId, RunState, Started};
use remit_tlog::{Checkpoint, Frontier, leaf_hash};
use remit_trust::Sealed;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chromium::Tab;
use super::people::Console;
use crate::common::bao::Doubt;

/// How much may be sent for a page, with all that belongs to it.
const HEAVIEST: u64 = 50 * 1024;

/// Texts that become markup, scripts or requests wherever they are not held to be text.
const STRANGE: [&str; 4] = [
    "<img src=x onerror=document.title='X'>",
    "\"><script>document.title='X'</script>",
    "</textarea></title></style><svg onload=document.title='X'>",
    "javascript:alert(1) ' onfocus=alert(1) autofocus='",
];

/// What went wrong in a page, as the browser says: violations of the policy, errors, and what was asked of other servers.
fn complaints(tab: &Tab, own: &str) -> Vec<String> {
    let told = |event: &Value| {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Log.entryAdded" => Some(params["entry"]["text"].to_string()),
            "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
            "Audits.issueAdded" => {
                let issue = &params["issue"];
                (issue["code"] == "ContentSecurityPolicyIssue").then(|| issue.to_string())
            }
            "Page.javascriptDialogOpening" => Some("a dialog".to_owned()),
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                (!url.starts_with(own) && !url.starts_with("data:"))
                    .then(|| format!("asked of another: {url}"))
            }
            _ => None,
        }
    };
    tab.events().iter().filter_map(told).collect()
}

/// How many bytes came over the network for what was opened since the events were looked at last.
fn weight(events: &[Value]) -> u64 {
    let finished = events.iter().filter(|event| event["method"] == "Network.loadingFinished");
    let bytes = finished.filter_map(|event| event["params"]["encodedDataLength"].as_f64());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of bytes")]
    let sum = bytes.sum::<f64>() as u64;
    sum
}

/// Every page, by a name for its picture.
fn pages(console: &Console, request: &str, run: &str, action: &str) -> Vec<(&'static str, String)> {
    vec![
        ("waiting", console.at("/console")),
        ("requests", console.at("/console/requests")),
        ("request", console.at(&format!("/console/requests/{request}"))),
        ("runs", console.at("/console/runs")),
        ("run", console.at(&format!("/console/runs/{run}"))),
        ("revert", console.at(&format!("/console/runs/{run}/revert"))),
        ("actions", console.at("/console/actions")),
        ("action", console.at(&format!("/console/actions/{action}"))),
        ("rules", console.at("/console/rules")),
        ("freeze", console.at("/console/freeze")),
        ("audit", console.at("/console/audit")),
        ("login", console.at("/console/login")),
        ("enrol", console.at("/console/enrol")),
    ]
}

/// A home in which something has happened: a run, and two requests that wait, one of them with strange texts.
fn lived_in() -> (Console, Tab, String, String, String) {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let world = &console.world;
    world.remit(&["install", "rotate-secret.wasm"]).exits(0);
    let digest = remit_trust::Digest::of(&fs::read(world.path("rotate-secret.wasm")).unwrap()).to_string();
    let done = console.ask("INC-6: the key of the payment provider was in a log file");
    for key in ["alice.key", "bob.key"] {
        world.remit(&["approve", &done, "--key", key]).exits(0);
    }
    world.remit(&["run", &done, "--key", "bot.key"]).exits(0);
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    let live = runs.as_array().unwrap().iter().find(|run| run["mode"] == "live").unwrap();
    let run = live["run"].as_str().unwrap().to_owned();
    let request = console.ask("INC-7: the same key leaked again, from the new machine");
    (console, ann, request, run, digest)
}

#[test]
fn every_page_is_for_everybody_and_light() {
    let (console, ann, request, run, action) = lived_in();
    let axe =
        std::env::var_os("REMIT_AXE").expect("REMIT_AXE is not set: run the tests with `cargo xtask test`");
    let axe = fs::read_to_string(axe).unwrap();
    let pictures = std::env::var_os("REMIT_UPDATE").map(|_| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/console");
        fs::create_dir_all(&folder).unwrap();
        folder
    });
    let scratch = std::env::var_os("REMIT_PICTURES").map(PathBuf::from);
    for (name, url) in pages(&console, &request, &run, &action) {
        ann.call("Network.setCacheDisabled", &json!({"cacheDisabled": true}));
        ann.screen(1280, 900, false);
        ann.events();
        ann.go(&url);
        let events = ann.events();
        let weighs = weight(&events);
        assert!((500..=HEAVIEST).contains(&weighs), "{name}: {weighs} bytes");
        // In a world of its own, which the page's policy is not about.
        let frame = ann.call("Page.getFrameTree", &json!({}))["frameTree"]["frame"]["id"].clone();
        let world = ann.call("Page.createIsolatedWorld", &json!({"frameId": frame}));
        let judge = |expression: &str| {
            let params = json!({
                "expression": expression, "contextId": world["executionContextId"], "awaitPromise": true,
                "returnByValue": true,
            });
            ann.call("Runtime.evaluate", &params)
        };
        judge(&axe);
        for (screen, width, height, scheme) in [
            ("desktop", 1280, 900, "light"),
            ("desktop", 1280, 900, "dark"),
            ("phone", 390, 844, "light"),
            ("phone", 390, 844, "dark"),
        ] {
            ann.screen(width, height, scheme == "dark");
            let wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
            assert_eq!(ann.eval(wide), false, "{name} is wider than a {screen}");
            let cut = "[...document.querySelectorAll('.table')].some((table) => table.scrollWidth > table.clientWidth)";
            assert!(screen == "desktop" || ann.eval(cut) == false, "{name} has a table that a {screen} cuts");
            // One picture of each main page is in the documentation.
            let documented = matches!(
                (name, screen, scheme),
                ("waiting" | "request" | "actions" | "rules", "desktop", "light")
                    | ("run" | "audit", "desktop", "dark")
                    | ("runs", "phone", "dark")
                    | ("freeze", "phone", "light")
            );
            for folder in pictures.iter().filter(|_| documented) {
                let picture = ann.picture("webp", if name == "request" { 1_500 } else { 900 });
                assert!(picture.len() < 60_000, "{name}: {} bytes", picture.len());
                fs::write(folder.join(format!("{name}.webp")), picture).unwrap();
            }
            let file = format!("{name}-{screen}-{scheme}.png");
            if let Some(folder) = &scratch {
                fs::write(folder.join(&file), ann.picture("png", u64::MAX)).unwrap();
            }
            // Colours differ by scheme, and the rest by screen.
            if (screen, scheme) == ("desktop", "light") || (screen, scheme) == ("phone", "dark") {
                let found = judge(
                    "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.map(
                        (one) => one.id + ': ' + one.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ')))",
                );
                let violations = &found["result"]["value"];
                assert_eq!(violations, &json!([]), "{file}: {violations:#} {}", found["exceptionDetails"]);
            }
        }
        assert_eq!(complaints(&ann, &console.url), [""; 0], "{name}");
    }
}

#[test]
fn what_others_write_is_text() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let world = &console.world;
    let reason = STRANGE.join(" ");
    let request = console.ask(&reason);
    // A path, an incident, and a denial with strange words; and a run whose own words are strange.
    let input = format!("path={}", crate::common::SECRET);
    let mut ids = vec![request];
    for strange in STRANGE {
        let args = [
            "request",
            "rotate-secret.wasm",
            "--input",
            &input,
            "--reason",
            strange,
            "--incident",
            strange,
            "--key",
            "bot.key",
            "--json",
        ];
        let asked = world.remit(&args).exits(0).json();
        ids.push(asked["request"]["id"].as_str().unwrap().to_owned());
    }
    world.remit(&["deny", &ids[1], "--reason", &reason, "--key", "alice.key"]).exits(0);
    world.remit(&["approve", &ids[2], "--reason", &reason, "--key", "alice.key"]).exits(0);
    // An action names what it is given: as a resource, in its answer, and in the error that it ends with.
    for strange in STRANGE {
        for deed in ["bad-path", "outside"] {
            let input = json!({"do": deed, "path": strange}).to_string();
            world.remit(&["plan", "misbehave.wasm", "--input", &input, "--key", "alice.key"]);
        }
    }
    world.remit(&["freeze", "--reason", &reason, "--key", "alice.key"]).exits(0);
    ann.events();
    let mut urls = vec![
        console.at("/console"),
        console.at("/console/requests"),
        console.at("/console/runs"),
        console.at("/console/freeze"),
    ];
    urls.extend(ids.iter().map(|id| console.at(&format!("/console/requests/{id}"))));
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    urls.extend(
        runs.as_array()
            .unwrap()
            .iter()
            .map(|run| console.at(&format!("/console/runs/{}", run["run"].as_str().unwrap()))),
    );
    let query = reason.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    urls.extend(
        ["runs?action=", "runs?state=", "requests?principal=", "requests/", "login?next="]
            .map(|path| console.at(&format!("/console/{path}{query}"))),
    );
    for url in &urls {
        ann.go(url);
        assert!(!ann.text("document.title").contains('X'), "{url}");
        assert_eq!(ann.eval("document.querySelectorAll('main img, main svg, main script, [onfocus], [onload], [onerror], [autofocus]').length"), 0, "{url}");
    }
    let told: Vec<String> = complaints(&ann, &console.url)
        .into_iter()
        // A page that there is not says so by its status.
        .filter(|told| !told.contains("the server responded with a status of 4"))
        .collect();
    assert_eq!(told, [""; 0]);
    ann.go(&urls[0]);
    ann.shows(STRANGE[0]);
}

#[test]
fn all_of_it_reads_without_a_script() {
    let (console, ann, request, run, action) = lived_in();
    ann.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    for (name, url) in pages(&console, &request, &run, &action) {
        ann.go(&url);
        let words = match name {
            "waiting" => "INC-7",
            "request" => "put the value of version",
            "run" => "What happened",
            "revert" => "would be reverted",
            "action" => "What it could do",
            "rules" => "two-humans",
            "audit" => "Newest checkpoint",
            _ => continue,
        };
        ann.shows(words);
    }
    // Where something is signed, it says how to do that without.
    ann.go(&console.at(&format!("/console/requests/{request}")));
    ann.shows(&format!("remit approve {request}"));
    ann.shows("UTC");
    // What needs no signature works: a rehearsal, a replay, signing out.
    ann.eval("document.querySelector('main form[action$=rehearsal]').requestSubmit()");
    ann.shows("it would do exactly what is written here");
    ann.eval("document.querySelector('form.who').requestSubmit()");
    ann.shows("Sign in");
}

#[test]
fn what_cannot_be_undone_is_first_and_a_run_is_seen_as_it_happens() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let world = &console.world;
    let input = json!({"do": "destroy", "path": crate::common::SECRET, "version": 1}).to_string();
    let scope = crate::common::scope("", crate::common::SECRET)
        .replace("secrets/destroy\"\n", "secrets/destroy\"\nirrevocable = true\n");
    world.write("grave.toml", scope);
    let why = ["--reason", "it must go", "--key", "bot.key", "--json"];
    let grave =
        [&["request", "misbehave.wasm", "--input", &input, "--scope", "grave.toml"][..], &why].concat();
    let asked = world.remit(&grave).exits(0).json();
    console.ask("INC-7: it leaked");
    ann.go(&console.at("/console"));
    assert!(ann.text("document.querySelector('article.card').innerText").contains("CANNOT BE UNDONE"));
    assert_eq!(ann.eval("document.querySelectorAll('article.card').length"), 2);
    ann.go(&console.at(&format!("/console/requests/{}", asked["request"]["id"].as_str().unwrap())));
    let first = ann.text("document.querySelector('main .problem').innerText");
    assert!(first.contains("CANNOT BE UNDONE") && first.contains("destroy"), "{first}");

    let input = format!(r#"{{"do":"rotate-then-loop","path":"{}"}}"#, crate::common::SECRET);
    world.grant_scope(
        &crate::common::scope("[limits]\nfuel = 1_000_000_000_000\nwall_time = \"5s\"", "prod/**"),
        "misbehave.wasm",
        &input,
        "loop",
    );
    world.remit(&["approve", &world.request("loop"), "--key", "bob.key"]).exits(0);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| world.run("loop"));
        let limit = Instant::now() + Duration::from_secs(30);
        while world.remit(&["runs", "--state", "unfinished", "--json"]).exits(0).json() == json!([]) {
            assert!(Instant::now() < limit, "it does not start");
        }
        ann.go(&console.at("/console/runs?state=unfinished"));
        ann.click("main table a");
        ann.shows("going on");
        ann.eval("window.sameDocument = true");
        ann.shows("reverted");
        assert_eq!(ann.eval("window.sameDocument && !document.getElementById('live').dataset.events"), true);
        assert_ne!(run.join().unwrap().code, 0);
    });
}

/// What only a person can say of a run: more time, what became of a call in doubt, that it was looked at afterwards.
#[test]
fn a_run_that_needs_a_person_gets_their_word() {
    let Doubt { bao, world, run: doubt } = Doubt::about_a_destroy("");
    bao.client(&["kv", "put", "-mount=secret", crate::common::SECRET, "api_key=newer"]);
    let principals = world.home().join("principals.toml");
    let text = fs::read_to_string(&principals).unwrap();
    let bob = "name   = \"bob\"\nkind   = \"human\"\ngroups = [";
    let on_call = text.replace(&format!("{bob}]"), &format!("{bob}\"on-call\"]"));
    fs::write(&principals, on_call + "\n[break-glass]\nquorum = 1\ngroup = \"on-call\"\n").unwrap();
    let console = Console::of(world);
    let ann = console.signed_in("ann");
    let world = &console.world;
    let signs = |run: &str, form: &str, reason: &str| {
        ann.go(&console.at(&format!("/console/runs/{run}")));
        ann.write(&format!("{form} textarea"), reason);
        ann.eval("window.before = true");
        ann.click(&format!("{form} button"));
        ann.until("!window.before");
        ann.shows(reason);
    };

    signs(&doubt, "form[id^=resolve][id$=true]", "the vault's own log says so");
    ann.until("document.querySelector('.state.held')");
    ann.shows("it happened, says ann");
    let runs = world.remit(&["runs", "--live", "--json"]).exits(0).json();
    assert_eq!((&runs[0]["run"], &runs[0]["state"]), (&doubt.as_str().into(), &"held".into()));

    let input = format!("path={}", crate::common::SECRET);
    let scope = "restore_after = \"1h\"\n[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:prod/**\"]\n[[allow]]\ncapability = \"remit:secrets/inspect\"\nresources = [\"secret:prod/**\"]\n";
    world.grant_scope(scope, "rotate-secret.wasm", &input, "for-a-while");
    world.remit(&["approve", &world.request("for-a-while"), "--key", "bob.key"]).exits(0);
    let run = world.run("for-a-while").exits(0).json()["run"].as_str().unwrap().to_owned();
    ann.go(&console.at(&format!("/console/runs/{run}")));
    ann.shows("The host undoes its changes by itself");
    signs(&run, "#extend", "the provider is not ready");
    ann.shows("extended");

    let what = ["request", "rotate-secret.wasm", "--input", &input, "--break-glass", "--reason", "fire"];
    let asked = world.remit(&[&what[..], &["--key", "bot.key", "--json"]].concat()).exits(0).json();
    let glass = asked["request"]["id"].as_str().unwrap();
    world.remit(&["approve", glass, "--key", "bob.key"]).exits(0);
    let run = world.remit(&["run", glass, "--key", "bot.key", "--json"]).exits(0).json()["run"].clone();
    let run = run.as_str().unwrap();
    let to_review = || world.remit(&["status", "--json"]).json()["to_review"].clone();
    assert_eq!(to_review(), json!([run]));
    signs(run, "#review", "it was needed");
    assert_eq!(to_review(), json!([]));
    // Nobody is asked for it again.
    assert_eq!(ann.eval("document.querySelector('#review')"), Value::Null);
    world.audit_is_sound();
}

/// A component under another name, with another version.
fn called(component: &[u8], name: &str, version: &str) -> Vec<u8> {
    use wasm_encoder::{ComponentNameSection, ComponentSection as _, CustomSection};
    let (header, mut rest) = component.split_at(8);
    let mut out = header.to_vec();
    // Each section: its kind, its length in LEB128, its bytes. Those of the kind 0 begin with a name.
    while let [kind, after @ ..] = rest {
        let digits = after.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let length = after[..digits].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        let (section, next) = rest.split_at(1 + digits + length);
        let named = &section[1 + digits..];
        let says =
            *kind == 0 && (named.starts_with(b"\x0ecomponent-name") || named.starts_with(b"\x07version"));
        if !says {
            out.extend_from_slice(section);
        }
        rest = next;
    }
    let mut names = ComponentNameSection::new();
    names.component(name);
    names.append_to_component(&mut out);
    CustomSection { name: "version".into(), data: version.as_bytes().into() }.append_to_component(&mut out);
    out
}

/// A component that is not kept here is looked at, whoever signed it, without a script; and kept on the terms of the API only.
#[test]
fn a_component_is_looked_at_before_anybody_trusts_it_and_kept_by_its_digest() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let world = &console.world;
    ann.events();
    ann.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    let put = |field: &str, file: PathBuf| {
        let root = ann.call("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let query = json!({"nodeId": root, "selector": field});
        let node = ann.call("DOM.querySelector", &query)["nodeId"].clone();
        ann.call("DOM.setFileInputFiles", &json!({"nodeId": node, "files": [file]}));
    };
    let send = |file: &str, signature: Option<&str>, digest: &str, button: &str| {
        ann.go(&console.at("/console/actions"));
        put("#component", world.path(file));
        if let Some(signature) = signature {
            put("#signature", world.path(signature));
        }
        ann.write("#digest", digest);
        ann.click(button);
    };
    let (look, keep) = ("form.upload button:not([name])", "form.upload button[name=keep]");
    let digest = |file: &str| remit_trust::Digest::of(&fs::read(world.path(file)).unwrap()).to_string();

    send("misbehave.wasm", None, "", look);
    for words in [
        "misbehave 0.1.0",
        "UNSIGNED",
        "What it could do",
        "CANNOT BE UNDONE",
        "HANDS OUT SECRETS",
        "not kept",
    ] {
        ann.shows(words);
    }
    ann.shows("No other version of it is kept here.");
    // Of whoever signs for others, of another file, and of none.
    world.remit(&["keys", "new", "--out", "stranger"]).exits(0);
    fs::copy(world.path("rotate-secret.wasm"), world.path("foreign.wasm")).unwrap();
    world.remit(&["sign", "foreign.wasm", "--key", "stranger.key"]).exits(0);
    send("foreign.wasm", Some("foreign.wasm.sig"), &digest("foreign.wasm"), keep);
    ann.shows("UNTRUSTED");
    ann.shows("NOT KEPT");
    send("rotate-secret.wasm", Some("rotate-secret.wasm.sig"), &digest("misbehave.wasm"), keep);
    ann.shows(&format!("not the component of that digest, but {}", digest("rotate-secret.wasm")));
    send("rotate-secret.wasm", Some("rotate-secret.wasm.sig"), "", keep);
    ann.shows("no digest was written");
    world.write("none.wasm", "<script>document.title='X'</script>");
    send("none.wasm", None, "", look);
    ann.shows("That did not work");
    ann.go(&console.at("/console/actions"));
    ann.shows("None is kept here yet.");

    send("rotate-secret.wasm", Some("rotate-secret.wasm.sig"), &digest("rotate-secret.wasm"), keep);
    ann.until(&format!("location.pathname.endsWith('/{}')", digest("rotate-secret.wasm")));
    ann.shows("a publisher that is trusted here");
    // One that could do more, under the same name and with a higher version, is compared with the one that is kept.
    let bytes = fs::read(world.path("misbehave.wasm")).unwrap();
    world.write("newer.wasm", called(&bytes, "rotate-secret", "9.0.0"));
    send("newer.wasm", None, "", look);
    ann.shows("rotate-secret 9.0.0");
    ann.shows("Compared with rotate-secret 0.1.0");
    let gained = ann.text("[...document.querySelectorAll('h3')].find((head) => head.textContent.includes('can do this now')).nextElementSibling.innerText");
    assert!(gained.contains("remit:secrets/destroy") && gained.contains("CANNOT BE UNDONE"), "{gained}");

    // A connector too, which no route keeps.
    fs::copy(crate::common::plugins().join("roundup-tickets.wasm"), world.path("roundup.wasm")).unwrap();
    send("roundup.wasm", None, "", look);
    ann.shows("What it can send");
    ann.shows("POST ");
    // Two that are kept are compared by a link.
    world.remit(&["install", "misbehave.wasm"]).exits(0);
    let [old, new] = ["rotate-secret.wasm", "misbehave.wasm"].map(digest);
    ann.go(&console.at(&format!("/console/actions/{old}/diff/{new}")));
    ann.shows("What changed");
    ann.shows("HANDS OUT SECRETS");

    // From another site, and larger than any: nothing of it is read.
    let session =
        ann.call("Network.getCookies", &json!({"urls": [console.url]}))["cookies"][0]["value"].clone();
    let authority = console.url.split_once("://").unwrap().1;
    let post = |origin: &str, length: u64| {
        let head = format!(
            "POST /console/actions/inspection HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nCookie: __Host-remit={}\r\n\
             Origin: {origin}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n",
            session.as_str().unwrap()
        );
        crate::common::server::raw(authority, &head).0
    };
    assert_eq!(post("https://evil.example", 0), 403);
    assert_eq!(post(&console.url, 200 * 1024 * 1024), 413);
    let told = complaints(&ann, &console.url).into_iter();
    let told: Vec<String> = told.filter(|told| !told.contains("responded with a status of")).collect();
    assert_eq!(told, [""; 0]);
}

/// Puts runs into the journal of a home; one of `rare` failed. Their names, oldest first. The journal writes one of each kind, and SQLite
/// copies these under other names: to a list they are as good as any, and only an audit would find that they are not chained. The
/// journal itself takes ten times as long for so many.
fn fill(console: &Console, runs: u32, rare: u32) -> Vec<String> {
    let home = remit_lifecycle::Home::at(&console.world.home());
    let signer = || home.signer(&home.load().unwrap()).unwrap();
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let [usual, failed] = [RunState::Rehearsed, RunState::Failed].map(|state| {
        let run = RunId::new();
        let started = Started {
            mode: Mode::Rehearse,
            action: ActionRef {
                digest: remit_trust::Digest::of(b"component"),
                name: "rotate".to_owned(),
                version: "1.0.0".to_owned(),
            },
            publisher: None,
            connectors: Vec::new(),
            input: raw(r#"{"path":"app/db"}"#),
            input_digest: remit_trust::Digest::of(br#"{"path":"app/db"}"#),
            scope_digest: remit_trust::Digest::of(b"{}"),
            scope: Some(raw("{}")),
            grant: None,
            principal: "alice".to_owned(),
            started_by: None,
            reason: "quarterly rotation".to_owned(),
            seed: [3; 32],
            host_version: "0.0.0".to_owned(),
        };
        let ended = Ended {
            state,
            detail: "the rehearsal came to its end".to_owned(),
            consumed: raw("{}"),
            output: None,
            own_words: None,
            code: None,
            due: remit_journal::Due::default(),
        };
        let journal = Journal::open(&home.journal(), signer()).unwrap();
        runtime.block_on(async {
            journal.start(Record::now(run, started), Sealed::from_bytes(vec![7; 60])).await.unwrap();
            journal.commit(Record::now(run, ended)).await.unwrap();
        });
        run.to_string()
    });
    let mut database = rusqlite::Connection::open(home.journal()).unwrap();
    let change = database.transaction().unwrap();
    let head = "SELECT frontier, note FROM head";
    let (frontier, note): (Vec<u8>, String) =
        change.query_row(head, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut frontier = Frontier::from_bytes(&frontier).unwrap();
    let before = frontier.size();
    let copies = "
        WITH RECURSIVE count(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n + 1 < ?1),
            copy AS (SELECT n, printf('run-%026d', ?2 + n) AS name, iif(n % ?3 = 0, ?4, ?5) AS of FROM count)
        INSERT INTO record (seq, run, kind, body, chain, place)
        SELECT ?2 + 2 * n + place, name, kind, CAST(replace(CAST(body AS TEXT), of, name) AS BLOB), zeroblob(32), place
        FROM copy JOIN record ON run = of";
    let values = rusqlite::params![runs, i64::try_from(before).unwrap(), rare, failed, usual];
    let written = change.execute(copies, values).unwrap();
    for _ in 0..written {
        frontier.push(leaf_hash(&[0; 32]));
    }
    assert_eq!(frontier.size(), before + 2 * u64::from(runs));
    let signed = home.verifier().unwrap().verify(&note).unwrap();
    let signed = Checkpoint { size: frontier.size(), root: frontier.root(), ..signed };
    let update = "UPDATE head SET chain = zeroblob(32), frontier = ?1, note = ?2";
    change.execute(update, (frontier.to_bytes(), signer().sign(&signed))).unwrap();
    change.commit().unwrap();
    (0..u64::from(runs)).map(|n| format!("run-{:026}", before + n)).collect()
}

/// The same page of a list takes as long however long the list is: the first, one in its middle, and one of the few runs among many
/// that a filter wants.
#[test]
fn a_long_list_pages_like_a_short_one() {
    const LONG: u32 = 100_000;
    let listed = |runs: u32| {
        let mut console = Console::new();
        console.stop();
        let ids = fill(&console, runs, runs / 60);
        console.serve();
        let ann = console.signed_in("ann");
        (console, ann, format!("?before={}", ids[ids.len() * 6 / 10]))
    };
    let (short, long) = (listed(100), listed(LONG));
    let page = |(console, ann, _): &(Console, Tab, String), query: &str| {
        let path = json!(console.at(&format!("/console/runs{query}")));
        let began = Instant::now();
        let page = ann.text(&format!("fetch({path}).then((answer) => answer.text())"));
        let took = began.elapsed();
        let rows = page.matches("href=\"/console/runs/run-").count();
        assert!(page.contains("Older") && rows == 50, "{query}: {rows}");
        took
    };
    // Whatever else the machine does, it does to both.
    let mut least = [[Duration::MAX; 2]; 4];
    for _ in 0..12 {
        for (n, least) in least.iter_mut().enumerate() {
            for (list, least) in [&short, &long].into_iter().zip(least) {
                let query = ["", &list.2, "?state=failed", "?state=failed&principal=alice&target="][n];
                *least = page(list, query).min(*least);
            }
        }
    }
    for [short, long] in least {
        assert!(
            long < short.mul_f64(1.5) + Duration::from_millis(2),
            "{short:?} for 100 runs, {long:?} for {LONG}; first page, middle, a filter, filters: {least:?}"
        );
    }
}
