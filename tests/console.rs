//! The console: people decide in Debian's Chromium, with passkeys of its virtual authenticator.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod chromium;
mod forged;
mod looks;
mod people;
mod sessions;

use std::fs;
use std::process::Command;

use crate::common::SECRET;
use chromium::Tab;
use people::Console;
use serde_json::Value;

/// Two people and a bot: asked for, looked at, approved twice, started, taken back; and everything that was signed holds for those who
/// have nothing of Remit.
#[test]
fn two_people_allow_what_a_bot_asks_for_and_one_takes_it_back() {
    let mut console = Console::over_tls();
    let (ann, ben) = (console.person("ann"), console.person("ben"));
    assert_eq!(ann.text("performance.getEntriesByType('navigation')[0].nextHopProtocol"), "h2");
    let request = console.ask("INC-7: it leaked");
    // A link from elsewhere leads to the login, and from there to the request.
    ann.go(&console.at(&format!("/requests/{request}")));
    ann.until("location.pathname === '/console/login'");
    ann.write("#name", "ann");
    ann.click("#login button");
    ann.shows("INC-7: it leaked");
    for words in [
        "rotate-secret",
        SECRET,
        "What would happen",
        "put the value of version",
        "Every power",
        "2 more of 2 humans",
        "agent",
    ] {
        ann.shows(words);
    }
    let shown = console.world.remit(&["request", "show", &request, "--json"]).exits(0).json();
    ann.shows(shown["digest"].as_str().unwrap());
    ann.click("main form[action$=rehearsal] button");
    ann.shows("it would do exactly what is written here");
    ann.go(&console.at("/console"));
    ann.click("article.card a");
    ann.until("document.querySelector('#approve')");
    ann.click("#approve button");
    ann.shows("1 more of 2 humans");
    ann.shows("ann has approved it already");

    console.sign_in(&ben, "ben");
    ben.shows("Waiting for you");
    ben.click("article.card a");
    // All of the page is there, its script too.
    ben.until("document.querySelector('#approve button:enabled')");
    // The server begins anew in between: who had signed in signs in again.
    console.stop();
    console.serve();
    ben.click("#approve button");
    ben.shows("nobody has signed in");
    console.sign_in(&ben, "ben");
    ben.go(&console.at(&format!("/console/requests/{request}")));
    ben.click("#approve button");
    ben.shows("approved");

    let before = console.world.current_version(SECRET);
    console.world.remit(&["run", &request, "--key", "bot.key"]).exits(0);
    assert_eq!(console.world.current_version(SECRET), before + 1);
    ben.go(&console.at("/console/runs?mode=live"));
    ben.click("main table a");
    ben.shows("What happened");
    ben.shows("succeeded");
    // In the reader's own zone, with UTC on hover: the script writes that after the page is there.
    ben.until("document.querySelector('main time').title");
    assert!(ben.text("document.querySelector('main time').textContent").ends_with("+05:30"));
    assert!(ben.text("document.querySelector('main time').title").ends_with("UTC"));
    let run = ben.text("location.pathname.split('/').pop()");
    ben.click("form[action$=replay] button");
    ben.shows("Replayed: the same.");
    ben.go(&console.at(&format!("/console/runs/{run}/revert")));
    ben.shows("would be reverted");
    // Without a reason nothing is signed.
    ben.click("#revert button");
    assert_eq!(ben.eval("document.querySelector('#revert textarea').validity.valueMissing"), true);
    ben.write("#revert textarea", "it was the wrong one");
    ben.click("#revert button");
    ben.until("document.querySelector('.state.reverted')");
    ben.shows("it was the wrong one");

    what_else_they_decide(&console, &ann, &ben);

    // What both signed holds for ssh-keygen, the journal for its audit, and the run for whoever has its proof.
    let world = &console.world;
    world.remit(&["request", "export", &request, "--out", "evidence"]).exits(0);
    let mut checked = 0;
    for name in ["ann", "ben"] {
        let line = fs::read_to_string(world.home().join("principals.toml")).unwrap();
        let line = line.lines().find(|line| line.contains(&format!("{name} (passkey)"))).unwrap();
        let line = line.split('"').nth(1).unwrap();
        world.write("allowed", format!("{name} {line}\n"));
        let signed = fs::read(world.path(&format!("evidence/approval-{name}.signed"))).unwrap();
        let verify = |text: &[u8]| {
            let mut command = Command::new("ssh-keygen");
            command.args(["-Y", "verify", "-f", "allowed", "-I", name, "-n", "remit", "-s"]);
            command.arg(format!("evidence/approval-{name}.sig")).current_dir(world.dir.path());
            crate::common::finish(command, std::str::from_utf8(text).unwrap()).code
        };
        assert_eq!(verify(&signed), 0, "{name}");
        assert_ne!(verify(&[&signed[..], b" "].concat()), 0, "{name}");
        checked += 1;
        world.write(&format!("{name}-passkey.pub"), format!("{line}\n"));
        world.remit(&["audit", "prove", &run, "--out", "proof.json"]).exits(0);
        let key = fs::read_to_string(world.home().join("log.pub")).unwrap();
        let approver = format!("{name}-passkey.pub");
        world
            .remit(&["audit", "check-proof", "proof.json", "--key", key.trim(), "--approver", &approver])
            .exits(0);
    }
    assert_eq!(checked, 2);
    world.audit_is_sound();
    ben.go(&console.at("/console/audit"));
    ben.click("form[action$=verification] button");
    ben.shows("Sound:");
    // What the link gives is what the command line gives, which is held to the schema there.
    let link = ben.text("document.querySelector('main a[download]').href");
    let events = ben.text(&format!("fetch('{link}').then((answer) => answer.text())"));
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events, console.world.ocsf_events());
    assert!(events.len() >= 2, "{events:?}");
}

/// A person denies a request, starts one, and takes another away.
fn what_else_they_decide(console: &Console, ann: &Tab, ben: &Tab) {
    let world = &console.world;
    console.sign_in(ann, "ann");
    let unwanted = console.ask("INC-8: just to be sure");
    ann.go(&console.at(&format!("/console/requests/{unwanted}")));
    // Without a reason nothing is signed.
    ann.click("#deny button");
    assert_eq!(ann.eval("document.querySelector('#deny textarea').validity.valueMissing"), true);
    console.signs(ann, &unwanted, "#deny", Some("there is no ticket for it"));
    ann.shows("closed: ann denied it: there is no ticket for it");
    assert_eq!(ann.eval("document.querySelector('#approve')"), Value::Null);
    let shown = console.request(&unwanted);
    assert_eq!(
        (&shown["status"], &shown["why"]),
        (&"closed".into(), &"ann denied it: there is no ticket for it".into())
    );
    world.remit(&["approve", &unwanted, "--key", "alice.key"]).exits(3).says("ann denied it");

    let wanted = console.ask_with("INC-9: it leaked", &["--for", "ben"]);
    for tab in [ann, ben] {
        console.signs(tab, &wanted, "#approve", None);
    }
    let before = world.current_version(SECRET);
    console.signs(ben, &wanted, "#start", None);
    ben.until("location.pathname.startsWith('/console/runs/run-')");
    ben.until("document.querySelector('.state.succeeded')");
    assert_eq!(world.current_version(SECRET), before + 1);
    let run = ben.text("location.pathname.split('/').pop()");
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    let started = runs.as_array().unwrap().iter().find(|found| found["run"] == run.as_str()).unwrap();
    assert_eq!((&started["request"], &started["started_by"]), (&wanted.as_str().into(), &"ben".into()));

    let early = console.ask("INC-10: for tonight");
    for tab in [ann, ben] {
        console.signs(tab, &early, "#approve", None);
    }
    console.signs(ann, &early, "#revoke", Some("the night is cancelled"));
    ann.shows("the night is cancelled");
    assert_eq!(console.request(&early)["status"], "closed");
    world.remit(&["run", &early, "--key", "bot.key"]).exits(3).says("the night is cancelled");
}
