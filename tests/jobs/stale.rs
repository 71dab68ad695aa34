//! Accounts that nobody uses any more are disabled at night: in a directory, on a database server, and in a cloud.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::between::success;
use super::gateway::Gateway;
use super::kills::{Found, Killed};
use super::report;
use super::shim::Shim;
use super::stage::{self, Costs};
use crate::common::cloud::{Cloud, policy};
use crate::common::openldap::OpenLdap;
use crate::common::postgres::Postgres;
use crate::common::{Ran, World, contains};

const ACTION: &str = "disable-stale-accounts.wasm";
const EXEMPT: &str = "cn=kept,dc=example,dc=org";

fn dn(name: &str) -> String {
    format!("uid={name},ou=people,dc=example,dc=org")
}

/// Of these the server says that they signed in long ago; of bob, who is in every directory, that he never did. `kept` are members of
/// a group whose members are left alone.
fn people(names: &[&str], kept: &[&str]) -> OpenLdap {
    let person = |name: &&str| {
        format!(
            "\ndn: {}\nobjectClass: inetOrgPerson\ncn: {name}\nsn: X\nuserPassword: {}\npwdLastSuccess: 20200101000000Z\n",
            dn(name),
            password(name)
        )
    };
    let server = OpenLdap::with(&names.iter().chain(kept).map(person).collect::<String>());
    let members = kept.iter().map(|name| format!("member: {}\n", dn(name))).collect::<Vec<_>>().concat();
    server.change(&format!("dn: {EXEMPT}\nchangetype: add\nobjectClass: groupOfNames\n{members}"));
    server
}

fn password(name: &str) -> String {
    format!("the-password-of-{name}")
}

fn locked(server: &OpenLdap, name: &str) -> bool {
    server.values(&dn(name), "pwdAccountLockedTime") == ["000001010000Z"]
}

fn lets_in(server: &OpenLdap, name: &str) -> bool {
    server.lets_in(&dn(name), &password(name))
}

/// A home in front of a directory, with the action and the rules that are shipped.
fn home(address: &str) -> World {
    let world = World::with(&["disable-stale-accounts"]);
    world.configure(&OpenLdap::people("directory", address));
    world.private("home/ldap.key", "remits-own");
    world.person("carol");
    world.policies(include_str!("../../host/policy/default/default.cedar"));
    world.remit(&["install", ACTION]).exits(0);
    world
}

/// What people allow the bot for its nights.
fn standing(world: &World, changes_per_hour: &str) -> String {
    let allow = |power: &str| {
        format!(
            "[[allow]]\ncapability = \"remit:accounts/{power}\"\nresources = [\"account:directory\", \"account:directory/**\", \
             \"account:roles\", \"account:roles/*\", \"account:aws\", \"account:aws/*\"]\n"
        )
    };
    world.write(
        "night.toml",
        format!("{}[limits]\nchanges = 20\n", ["inspect", "disable"].map(allow).concat()),
    );
    let what = ["request", ACTION, "--standing", "--scope", "night.toml", "--for", "bot", "--ttl", "7d"];
    let budget = ["--runs-per-hour", "90", "--changes-per-hour", changes_per_hour];
    let why = ["--reason", "who left is locked out the same night", "--json", "--key", "alice.key"];
    let asked = world.remit(&[&what[..], &budget, &why].concat()).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap().to_owned();
    for person in ["bob.key", "carol.key"] {
        world.remit(&["approve", &id, "--key", person]).exits(0);
    }
    id
}

fn input(places: &[&str], except: &[&str]) -> String {
    json!({"places": places, "unused_days": 90, "except": except}).to_string()
}

/// How the bot starts its night.
fn night<'a>(input: &'a str, standing: &'a str) -> Vec<&'a str> {
    vec!["run", ACTION, "--input", input, "--under", standing, "--reason", "nightly", "--key", "bot.key"]
}

fn output(world: &World) -> Value {
    output_of(&world.last_run().1)
}

fn output_of(records: &[Value]) -> Value {
    records
        .iter()
        .rev()
        .find_map(|record| record["event"]["ended"].get("output").cloned())
        .unwrap_or_default()
}

fn waiting(world: &World) -> String {
    let all = world.remit(&["requests", "--json"]).exits(0).json();
    let all = all["requests"].as_array().unwrap();
    let waiting = all.iter().rev().find(|request| request["status"] == "waiting").unwrap();
    waiting["request"]["id"].as_str().unwrap().to_owned()
}

/// Users of a cloud: deploy, whom nobody has used for long; robot, who is kept by a group; and remit, who may do no more than the
/// manual says. The keys of deploy and remit.
fn users(cloud: &Cloud) -> [(String, String); 2] {
    for user in ["deploy", "robot", "remit"] {
        cloud.aws("iam", "create_user", json!({ "UserName": user }));
    }
    let keys = ["deploy", "robot", "remit"].map(|user| cloud.new_key(user));
    for user in ["deploy", "robot"] {
        cloud.aws("moto", "used", json!({ "UserName": user, "Days": 400 }));
    }
    cloud.aws("iam", "create_group", json!({ "GroupName": "robots" }));
    cloud.aws("iam", "add_user_to_group", json!({ "GroupName": "robots", "UserName": "robot" }));
    let reads = json!({ "Effect": "Allow", "Action": "iam:GetUser", "Resource": "*" });
    cloud.allow("deploy", "own", &json!({ "Version": "2012-10-17", "Statement": [reads] }));
    cloud.allow("remit", "own", &policy("RemitIamUsers"));
    let [deploy, _, remit] = keys;
    [deploy, remit]
}

/// Three places, and what a night finds there.
struct Places {
    people: OpenLdap,
    postgres: Postgres,
    cloud: Cloud,
    deploy: (String, String),
}

impl Places {
    fn new(names: &[&str], kept: &[&str]) -> (Self, (String, String)) {
        let (people, postgres, cloud) = (people(names, kept), Postgres::start(), Cloud::start());
        postgres.grant();
        for sql in [
            "CREATE ROLE report LOGIN PASSWORD 'old'",
            "CREATE ROLE app LOGIN PASSWORD 'old'",
            "CREATE SCHEMA audit",
            "CREATE TABLE audit.last_login (role name, at timestamptz)",
            "INSERT INTO audit.last_login VALUES ('report', now()), ('app', now())",
            "GRANT USAGE ON SCHEMA audit TO remit",
            "GRANT SELECT ON audit.last_login TO remit",
        ] {
            postgres.ask(sql);
        }
        let [deploy, remit] = users(&cloud);
        (Self { people, postgres, cloud, deploy }, remit)
    }

    /// A home in front of all of them; `directory` is where the directory is reached.
    fn home(&self, directory: &str, remit: &(String, String)) -> World {
        let world = home(directory);
        let last_used = "address = \"127.0.0.1\"\nlast_used = \"audit.last_login\"";
        let roles = "\n[[accounts]]\nname = \"roles\"\nbackend = \"databases\"\nserver = \"main\"\n";
        world.configure(&(self.postgres.config("main", last_used) + roles));
        world.private("home/db.password", "remits-own");
        world.private("home/aws.key", &remit.1);
        let credential = format!(
            "[connector.credential]\naws = {{ region = \"us-east-1\", service = \"iam\", access_key_id = \"{}\", \
             secret_key_file = \"aws.key\" }}",
            remit.0
        );
        world.connect("aws-iam", "aws", &self.cloud.address, &credential);
        world
    }

    /// When the role `report` was used last, as SQL.
    fn report_was_used(&self, at: &str) {
        self.postgres.ask(&format!("UPDATE audit.last_login SET at = {at} WHERE role = 'report'"));
    }

    fn report_gets_in(&self) -> bool {
        self.postgres.lets_in("report", "old", "postgres")
    }

    /// Whether AWS's own client gets anything with the key of deploy.
    fn deploy_works(&self) -> bool {
        let found = self.cloud.aws_as(&self.deploy, "iam", "get_user", json!({ "UserName": "deploy" }));
        found["error"].is_null()
    }
}

#[test]
fn the_job_that_disables_stale_accounts() {
    let (places, remit) = Places::new(&["dave", "erin"], &["backup"]);
    let people = &places.people;
    let world = places.home(&people.address(), &remit);
    stage::plays_offline(&world, "disable-stale-accounts");
    let standing = standing(&world, "3");

    stage::scene(
        "disable-stale-accounts: a night like any other. Of a directory, a database and a cloud three left long ago, two are kept by their groups",
    );
    assert!(lets_in(people, "alice") && places.deploy_works());
    places.cloud.aws("moto", "used", json!({ "UserName": "deploy", "Days": 400 }));
    let all = input(&["directory", "roles", "aws"], &[EXEMPT, "robots"]);
    let started = Instant::now();
    stage::types_at_home(&world, &night(&all, &standing), 0);
    let took = started.elapsed();
    let (first, _) = world.last_run();
    let done = output(&world);
    assert_eq!(done["disabled"], json!(["directory/dave", "directory/erin", "aws/deploy"]), "{done}");
    assert_eq!(done["excepted"], json!(["directory/backup", "aws/robot"]), "{done}");
    assert!(done["unknown"].as_array().unwrap().contains(&json!("directory/bob")), "{done}");
    for name in ["dave", "erin"] {
        assert!(locked(people, name) && !lets_in(people, name));
    }
    assert!(lets_in(people, "backup") && places.report_gets_in());
    stage::finds("$ ldapwhoami -D uid=dave,… -w <his own password>", "Invalid credentials (49)");
    assert!(!places.deploy_works());
    stage::finds("$ aws iam get-user --user-name deploy, with deploy's own key", "AccessDenied");
    // The trail of approval is on each.
    let told = world.remit(&["show", &first]).exits(0).out;
    assert!(told.contains("approved by bob and carol"), "{told}");
    Costs { world: &world, job: "disable-stale-accounts" }.tell(
        "a night with three accounts",
        took,
        &[&first],
    );
    report::tell(&world, &first, "disable-stale-accounts", &[]);

    stage::scene("One more than the budget allows: a person is asked");
    places.report_was_used("'2020-01-01'");
    stage::types_at_home(&world, &night(&all, &standing), 3);
    assert!(places.report_gets_in());
    let request = waiting(&world);
    stage::types_at_home(&world, &["approve", &request, "--key", "alice.key"], 0);

    stage::scene("Its owner comes back before it is done");
    places.report_was_used("now()");
    let start = ["run", &request, "--key", "bot.key"];
    stage::types_at_home(&world, &start, 3);
    assert!(places.report_gets_in());

    stage::scene("Nobody comes back");
    places.report_was_used("'2020-01-01'");
    stage::types_at_home(&world, &night(&all, &standing), 3);
    let request = waiting(&world);
    world.remit(&["approve", &request, "--key", "alice.key"]).exits(0);
    stage::types_at_home(&world, &["run", &request, "--key", "bot.key"], 0);
    assert!(!places.report_gets_in() && places.postgres.lets_in("app", "old", "postgres"));
    stage::finds("$ psql -U report", "role \"report\" is not permitted to log in");
    let (second, _) = world.last_run();

    stage::scene("All are wanted back");
    for run in [&second, &first] {
        stage::types_at_home(&world, &["revert", run], 0);
    }
    assert!(places.report_gets_in() && places.deploy_works());
    assert!(lets_in(people, "dave") && lets_in(people, "erin"));
    for secret in [&password("dave"), &remit.1, &places.deploy.1] {
        assert!(!contains(&world.all_bytes(), secret));
    }
    world.audit_is_sound();
}

struct Case<'a> {
    world: &'a World,
    people: &'a OpenLdap,
    /// Whom the night is about.
    who: &'static str,
    input: &'a str,
    standing: &'a str,
}

impl Case<'_> {
    fn does(&self) -> Ran {
        self.world.remit(&night(self.input, self.standing))
    }

    /// What became of the newest run.
    fn state(&self) -> String {
        let runs = self.world.remit(&["runs", "--live", "--json"]).exits(0).json();
        let last =
            runs.as_array().unwrap().last().map(|run| run["state"].as_str().unwrap_or("none").to_owned());
        last.unwrap_or_else(|| "none".to_owned())
    }

    fn is_locked(&self) -> bool {
        locked(self.people, self.who)
    }

    /// Nothing is left of it, or all of it: then it is taken back.
    #[track_caller]
    fn is_whole(&self, when: &str) {
        let state = self.state();
        assert!(
            matches!(&*state, "reverted" | "failed" | "succeeded" | "refused" | "none"),
            "{when}: {state}"
        );
        let path = format!("directory/{}", self.who);
        let stands = state == "succeeded" && output(self.world)["disabled"] == json!([path]);
        assert_eq!(self.is_locked(), stands, "{when}: {state}");
        if stands {
            self.world.remit(&["revert", &self.world.last_run().0]).exits(0);
            assert!(!self.is_locked(), "{when}");
        }
    }

    /// Who was kept by the group until now is not any more.
    fn next(&self, who: &'static str) -> Self {
        let member = dn(who);
        self.people.change(&format!("dn: {EXEMPT}\nchangetype: modify\ndelete: member\nmember: {member}\n"));
        Self { who, ..*self }
    }
}

#[test]
fn disable_stale_accounts_fails_well() {
    // When somebody signed in last is the server's to write, and cannot be set back: each of these is needed once.
    let (places, remit) = Places::new(&["dave"], &["erin", "frank", "gina", "backup"]);
    let people = &places.people;
    let gateway = Gateway::before_directory(people.port);
    let world = places.home(&gateway.address, &remit);
    let standing = standing(&world, "20");
    killed(&places, &world.copy(), &standing);
    let input = input(&["directory"], &[EXEMPT]);
    let case = Case { world: &world, people, who: "dave", input: &input, standing: &standing };
    gateway.passes();
    case.does().exits(0);
    let lines = gateway.lines();
    case.is_whole("undisturbed");

    // The directory is down, slow, or lies.
    gateway.does(|_, _, _| None);
    case.does().exits(1);
    case.is_whole("down");
    let first = AtomicBool::new(true);
    gateway.does(move |_, line, ask| {
        let answer = ask();
        if line.starts_with("modify") && first.swap(false, Ordering::SeqCst) {
            std::thread::sleep(Duration::from_secs(4));
        }
        Some(answer)
    });
    assert_ne!(case.does().code, 0);
    case.is_whole("slow");
    gateway.does(|_, line, ask| if line.starts_with("modify") { Some(success(line)) } else { Some(ask()) });
    assert_ne!(case.does().code, 0);
    case.is_whole("lying");

    let case = signed_in(case, &gateway, &lines);
    stopped(&case, &gateway);

    // Two nights at once: one of them does it, and what the other finds done it does not undo.
    let standing = super::stale::standing(&world, "20");
    let both = [(), ()].map(|()| {
        let mut host = world.command(&night(&input, &standing));
        host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let ended = both.map(|mut host| host.wait().unwrap().success());
    assert!(ended.contains(&true) && case.is_locked(), "{ended:?}");
    let runs = world.remit(&["runs", "--live", "--json"]).exits(0).json();
    let did = |run: &&Value| {
        let shown = world.remit(&["show", run["run"].as_str().unwrap(), "--json"]).exits(0).json();
        output_of(shown["records"].as_array().unwrap())["disabled"] == json!(["directory/gina"])
    };
    assert_eq!(runs.as_array().unwrap().iter().rev().take(2).filter(did).count(), 1, "{ended:?}");
    world.audit_is_sound();
}

/// A night in three places, killed at each step of it.
fn killed(places: &Places, template: &World, standing: &str) {
    let all = input(&["directory", "roles", "aws"], &[EXEMPT, "robots"]);
    let begin = |_: &World| {
        // Whoever looks whether a key works has used it.
        places.cloud.aws("moto", "used", json!({ "UserName": "deploy", "Days": 400 }));
        places.report_was_used("'2020-01-01'");
        night(&all, standing).into_iter().map(ToOwned::to_owned).collect()
    };
    let found =
        || Found::agreed(&[locked(&places.people, "dave"), !places.report_gets_in(), !places.deploy_works()]);
    let name = "disable-stale-accounts";
    Killed { name, template, begin: &begin, found: &found, held: Found::Before }
        .at_each_step(&Shim::compile());
}

/// Whom the night is about signs in: while it is rehearsed, between rehearsal and run, and between the run's look at all and its
/// look at one.
fn signed_in<'a>(mut case: Case<'a>, gateway: &Gateway, lines: &[String]) -> Case<'a> {
    let searches = (1..).zip(lines).filter(|(_, line)| line.starts_with("search")).map(|(at, _)| at);
    let searches: Vec<usize> = searches.collect();
    for (search, next) in [(1, "erin"), (5, "frank"), (6, "gina")] {
        let (at, port, who) = (searches[search], case.people.port, case.who);
        gateway.does(move |number, _, ask| {
            if number == at {
                let address = format!("ldap://127.0.0.1:{port}");
                let mut client = Command::new("ldapwhoami");
                client.args(["-x", "-H", &address, "-D", &dn(who), "-w", &password(who)]);
                assert!(client.stdout(Stdio::null()).status().unwrap().success());
            }
            Some(ask())
        });
        case.does();
        assert!(!case.is_locked(), "{who} at {at} of {lines:?}: {}", case.state());
        case = case.next(next);
    }
    case
}

/// Everything is frozen, and what allowed it is revoked, before it begins and in the middle of it.
fn stopped(case: &Case<'_>, gateway: &Gateway) {
    let world = case.world;
    gateway.passes();
    let unfreeze = || world.remit(&["unfreeze", "--reason", "looked", "--key", "bob.key"]).exits(0);
    world.remit(&["freeze", "--reason", "INC-9"]).exits(0);
    case.does().exits(3).says("frozen");
    unfreeze();
    for stop in
        [&["freeze", "--reason", "INC-9"][..], &["revoke", "request", case.standing, "--reason", "INC-9"]]
    {
        gateway.lets_type(world, stop, |line| line.starts_with("modify"));
        case.does().exits(3);
        assert_eq!(case.state(), "reverted", "{stop:?}");
        assert!(!case.is_locked(), "{stop:?}");
        if stop[0] == "freeze" {
            unfreeze();
        }
    }
    gateway.passes();
    case.does().exits(3);
}
