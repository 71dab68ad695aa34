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
use people::Console;

/// Two people and a bot: asked for, looked at, approved twice, started, taken back; and everything that was signed holds for those who
/// have nothing of Remit.
#[test]
fn two_people_allow_what_a_bot_asks_for_and_one_takes_it_back() {
    let mut console = Console::new();
    let (ann, ben) = (console.person("ann"), console.person("ben"));
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
    ben.until("document.querySelector('#approve')");
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
    // In the reader's own zone, with UTC on hover.
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
}
