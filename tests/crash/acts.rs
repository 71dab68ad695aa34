//! Commands that are one act: wherever they are killed, it is there or it is not, and the same command again brings it
//! about.

use super::*;

/// Of a change of the seal key that was cut short, one key is left that opens everything: the next command finds
/// out which.
#[test]
fn crash_in_a_change_of_keys() {
    let mut scenario = Scenario::revert("rekey", None);
    let rekey = ["journal", "rekey"].map(ToOwned::to_owned).to_vec();
    let revert = std::mem::replace(&mut scenario.command, rekey);
    let points = scenario.each_kill(|case, kill| {
        kill();
        finish(case.command(&revert), "").exits(0);
        case.world.audit_is_sound();
        // And once more, to its end.
        finish(case.command(&scenario.command), "").exits(0);
        finish(case.command(&revert), "").exits(0);
    });
    let renamed = |point: &Point| point.class == "rename" && point.file.starts_with("seal.key");
    assert!(points.iter().any(renamed), "the shim sees the last step: {points:?}");
}

/// Whether what a command is for came about.
type Done<'a> = &'a (dyn Fn(&World) -> bool + Sync);

/// What is asked for, approved, denied, taken away, frozen or signed is so or is not.
#[test]
fn crash_in_acts_of_authority() {
    let mut scenario = Scenario::run("acts", None);
    let ask = ["request", ACTION, "--input", INPUT, "--scope", "scope.toml", "--without-plan"];
    let ask = [&ask[..], &["--reason", "r", "--key", "bot.key"]].concat();
    let asked = scenario.template.remit(&[&ask[..], &["--json"]].concat()).exits(0).json();
    let waiting = asked["request"]["id"].as_str().unwrap().to_owned();
    let approved = scenario.template.request("g");

    let requests = |world: &World| world.remit(&["requests", "--all", "--json"]).exits(0).json();
    let status = |world: &World, id: &str| {
        let shown = world.remit(&["request", "show", id, "--json"]).exits(0).json();
        shown["status"].as_str().unwrap().to_owned()
    };
    let acts: [(&[&str], Done<'_>); 6] = [
        (&ask, &|world| requests(world)["requests"].as_array().unwrap().len() > 3),
        (&["approve", &waiting, "--key", "alice.key"], &|world| status(world, &waiting) == "approved"),
        (&["deny", &waiting, "--reason", "r"], &|world| status(world, &waiting) == "closed"),
        (&["revoke", "request", &approved, "--reason", "r"], &|world| status(world, &approved) == "closed"),
        (&["freeze", "--reason", "r"], &|world| world.remit(&["requests", "--all"]).out.contains("frozen")),
        (&["rules", "sign", "--key", "admin.key", "--yes"], &|world| world.remit(&["requests"]).code == 0),
    ];
    for (act, done) in acts {
        if act[0] == "rules" {
            let policies = scenario.template.home().join("policies/more.cedar");
            let more = "@id(\"no-agents\")\nforbid (principal, action == Remit::Action::\"trigger\", resource)\n\
                when { principal.kind == \"agent\" };\n";
            fs::write(policies, more).unwrap();
        }
        assert!(!done(&scenario.template), "{act:?}: not yet");
        scenario.command = act.iter().map(|&word| word.to_owned()).collect();
        scenario.each_kill(|case, kill| {
            let struck = kill();
            let was = done(&case.world);
            assert!(was || struck.signal.is_some(), "it said that it was done");
            let again = finish(case.command(&scenario.command), "");
            assert!(again.code == 0 || was, "{again:?}");
            assert!(done(&case.world));
            case.world.audit_is_sound();
        });
    }
}
