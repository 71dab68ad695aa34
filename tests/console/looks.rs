//! How the pages look and read: for everybody, on each screen, without a script, however strange the texts of others are; how much is
//! sent for them, and how long a list takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_journal::{ActionRef, Ended, Journal, Mode, Record, RunId, RunState, Started};
use remit_trust::Sealed;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chromium::Tab;
use super::people::Console;

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
                ("waiting" | "request", "desktop", "light")
                    | ("run", "desktop", "dark")
                    | ("runs", "phone", "dark")
            );
            let file = format!("{name}-{screen}-{scheme}.png");
            let picture = |highest| STANDARD.decode(ann.picture(highest)).unwrap();
            for folder in pictures.iter().filter(|_| documented) {
                fs::write(folder.join(&file), picture(if name == "request" { 2_000 } else { 700 })).unwrap();
            }
            if let Some(folder) = &scratch {
                fs::write(folder.join(&file), picture(u64::MAX)).unwrap();
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
            "rules" => "one-human",
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

#[test]
fn a_person_lets_changes_stand_for_longer() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let world = &console.world;
    let scope = "restore_after = \"1h\"\n[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:prod/**\"]\n[[allow]]\ncapability = \"remit:secrets/inspect\"\nresources = [\"secret:prod/**\"]\n";
    let input = format!("path={}", crate::common::SECRET);
    world.grant_scope(scope, "rotate-secret.wasm", &input, "for-a-while");
    world.remit(&["approve", &world.request("for-a-while"), "--key", "bob.key"]).exits(0);
    let run = world.run("for-a-while").exits(0).json()["run"].as_str().unwrap().to_owned();
    ann.go(&console.at(&format!("/console/runs/{run}")));
    ann.shows("The host undoes its changes by itself");
    ann.write("#extend textarea", "the provider is not ready");
    ann.click("#extend button");
    ann.shows("extended");
    ann.shows("the provider is not ready");
    console.world.audit_is_sound();
}

#[test]
fn a_component_that_nobody_trusts_is_looked_at_and_not_kept() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    ann.events();
    let file = console.world.path("unknown.wasm");
    fs::copy(console.world.path("misbehave.wasm"), &file).unwrap();
    let look = |file: &Path| {
        ann.go(&console.at("/console/actions"));
        let root = ann.call("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let query = json!({"nodeId": root, "selector": "#component"});
        let node = ann.call("DOM.querySelector", &query)["nodeId"].clone();
        ann.call("DOM.setFileInputFiles", &json!({"nodeId": node, "files": [file]}));
        ann.click("#inspect button");
    };
    look(&file);
    for words in ["misbehave 0.1.0", "UNSIGNED", "What it could do", "CANNOT BE UNDONE", "HANDS OUT SECRETS"]
    {
        ann.shows(words);
    }
    console.world.write("none.wasm", "<script>document.title='X'</script>");
    look(&console.world.path("none.wasm"));
    ann.shows("That did not work");
    ann.go(&console.at("/console/actions"));
    ann.shows("None is kept here yet.");
    let told = complaints(&ann, &console.url).into_iter();
    let told: Vec<String> = told.filter(|told| !told.contains("responded with a status of")).collect();
    assert_eq!(told, [""; 0]);
}

/// Puts rehearsals into the journal of a home, as fast as it takes them.
fn fill(console: &Console, runs: u64) {
    let home = remit_lifecycle::Home::at(&console.world.home());
    let signer = home.signer(&home.load().unwrap()).unwrap();
    let journal = Journal::open(&home.journal(), signer).unwrap();
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..runs {
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
                state: RunState::Rehearsed,
                detail: "the rehearsal came to its end".to_owned(),
                consumed: raw("{}"),
                output: None,
                own_words: None,
                code: None,
                due: remit_journal::Due::default(),
            };
            let sealed = Sealed::from_bytes(vec![7; 60]);
            journal.start(Record::now(run, started), sealed).await.unwrap();
            journal.note(Record::now(run, ended)).unwrap();
        }
        journal.flush().await.unwrap();
    });
}

/// The same page of a list takes as long however long the list is.
#[test]
fn a_long_list_pages_like_a_short_one() {
    let time = |runs: u64| {
        let mut console = Console::new();
        console.stop();
        fill(&console, runs);
        console.serve();
        let ann = console.signed_in("ann");
        let path = json!(console.at("/console/runs"));
        let took = (0..9).map(|_| {
            let began = Instant::now();
            assert!(ann.text(&format!("fetch({path}).then((answer) => answer.text())")).contains("Older"));
            began.elapsed()
        });
        took.min().unwrap()
    };
    let (short, long) = (time(100), time(10_000));
    assert!(
        long < short.mul_f64(1.5) + Duration::from_millis(2),
        "{short:?} for 100 runs, {long:?} for 10,000"
    );
}
