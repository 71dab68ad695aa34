//! The connector to GitHub, against a server that answers as GitHub's published description says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::contract::{Answer, Asked, Contract, System, moment, with};
use super::{FOLLOW, private, world};
use crate::common::{self, World};

const TOKEN: &str = "ghs_theTokenOfTheInstallation";
const LEAKED: &str = "ghp_aTokenThatLeakedFromAlice";
const REVOKE: &str = "revoke-leaked-value.wasm";
const API: &str = "https://api.github.com";

/// One organization, `acme`, with one repository, `shop`.
#[derive(Default)]
struct GitHub {
    /// Who signs in with a token.
    users: BTreeMap<String, String>,
    issues: BTreeMap<u64, Value>,
    /// By number, with that of their issue.
    comments: BTreeMap<u64, (u64, Value)>,
    /// What members' tokens may do in the organization.
    grants: BTreeMap<u64, Value>,
    /// Alerts of secrets that were found.
    alerts: BTreeMap<u64, Value>,
    /// Revocations are accepted, and nothing is done.
    forgets: bool,
    /// Whoever asks is told that it is too often.
    is_limited: bool,
    now: u64,
}

fn error(status: u16, message: &str) -> Answer {
    let text = status.to_string();
    Answer::new(
        status,
        json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": text }),
    )
}

fn user(login: &str) -> Value {
    let coded = login.replace('[', "%5B").replace(']', "%5D");
    json!({
        "login": login, "id": 1, "node_id": "U_1", "url": format!("{API}/users/{coded}"),
        "html_url": format!("https://github.com/{coded}"), "type": "User", "site_admin": false,
    })
}

impl System for GitHub {
    const DESCRIPTION: &'static str = include_str!("github.json");

    fn mistake(asked: &Asked) -> Option<String> {
        let has = |name: &str| asked.headers.get(name).map_or("", String::as_str);
        if has("user-agent").is_empty() {
            return Some("there is no User-Agent".to_owned());
        }
        match has("x-github-api-version") {
            "2026-03-10" => None,
            other => Some(format!("the version {other} of the API")),
        }
    }

    fn refusal(why: &str) -> Answer {
        error(400, why)
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        self.now += 1;
        if self.is_limited {
            let answer = error(403, "You have exceeded a secondary rate limit");
            return answer.header("x-ratelimit-remaining", 0).header("retry-after", 3600);
        }
        let answer = self.signed_in(asked);
        let answer =
            answer.header("x-ratelimit-limit", 5000).header("x-ratelimit-remaining", 4999 - self.now);
        match answer.status {
            200 => {
                let tag = format!("W/\"{}\"", self.now);
                answer.header("etag", tag)
            }
            _ => answer,
        }
    }
}

impl GitHub {
    fn new() -> Self {
        let users =
            [(TOKEN, "remit[bot]"), (LEAKED, "alice")].map(|(token, name)| (token.into(), name.into()));
        Self { users: users.into(), ..Self::default() }
    }

    fn signed_in(&mut self, asked: &Asked) -> Answer {
        let token =
            asked.headers.get("authorization").map(|it| it.strip_prefix("Bearer ").unwrap_or_default());
        if asked.operation == "credentials/revoke" {
            return match token {
                Some(_) => error(403, "This endpoint is for who does not sign in"),
                None => self.revoke(asked),
            };
        }
        let Some(token) = token else { return error(401, "Requires authentication") };
        let Some(login) = self.users.get(token).cloned() else { return error(401, "Bad credentials") };
        match asked.operation.as_str() {
            // An installation is no user.
            "users/get-authenticated" if token.starts_with("ghs_") => {
                error(403, "Resource not accessible by integration")
            }
            "users/get-authenticated" => Answer::new(200, user(&login)),
            "rate-limit/get" => Answer::new(200, json!({ "rate": { "limit": 5000 }, "resources": {} })),
            of if of.starts_with("orgs/") => self.organization(asked, token),
            _ => self.repository(asked, &login),
        }
    }

    fn revoke(&mut self, asked: &Asked) -> Answer {
        for value in asked.body["credentials"].as_array().unwrap() {
            if !self.forgets {
                self.users.remove(value.as_str().unwrap());
            }
        }
        Answer::new(202, json!({}))
    }

    fn organization(&mut self, asked: &Asked, token: &str) -> Answer {
        if asked.path["org"].to_lowercase() != "acme" {
            return error(404, "Not Found");
        }
        match asked.operation.as_str() {
            "orgs/get" => Answer::new(
                200,
                json!({
                    "login": "acme", "id": 2, "node_id": "O_1", "type": "Organization", "url": format!("{API}/orgs/acme"),
                    "html_url": "https://github.com/acme",
                }),
            ),
            _ if !token.starts_with("ghs_") => error(403, "Resource not accessible by personal access token"),
            "orgs/list-pat-grants" => {
                let (page, next) = asked.page(self.grants.values().rev().cloned().collect(), 30);
                let answer = Answer::new(200, page.into());
                next.into_iter().fold(answer, |answer, next| answer.header("link", next))
            }
            "orgs/update-pat-access" => match self.grants.remove(&asked.number("pat_id")) {
                Some(_) => Answer::empty(204),
                None => error(404, "Not Found"),
            },
            other => panic!("{other} is described, and not served"),
        }
    }

    fn alert(&mut self, asked: &Asked) -> Answer {
        let now = moment(self.now);
        let Some(alert) = self.alerts.get_mut(&asked.number("alert_number")) else {
            return error(404, "Not Found");
        };
        if asked.operation == "secret-scanning/update-alert" {
            let is_resolved = asked.text("state") == "resolved";
            let since = if is_resolved {
                json!({ "resolved_at": now })
            } else {
                json!({ "resolved_at": null, "resolution": null })
            };
            *alert = with(with(with(alert.take(), since), asked.body.clone()), json!({ "updated_at": now }));
        }
        let mut shown = alert.clone();
        if asked.query.get("hide_secret").is_some_and(|hide| hide == "true") {
            shown.as_object_mut().unwrap().remove("secret");
        }
        Answer::new(200, shown)
    }

    /// A member's token gets access; a secret of hers is found.
    fn with_leak(mut self) -> Self {
        for (id, name) in (1..=101).map(|id| (id, format!("token {id}"))) {
            self.grants.insert(id, json!({
                "id": id, "owner": user("alice"), "repository_selection": "all", "token_id": 9000 + id, "token_name": name,
                "repositories_url": format!("{API}/organizations/2/personal-access-tokens/{id}/repositories"),
                "permissions": { "organization": { "members": "read" }, "repository": { "contents": "write", "metadata": "read" } },
                "access_granted_at": moment(id), "token_expired": false, "token_expires_at": "2027-11-30T00:00:00Z",
                "token_last_used_at": null,
            }));
        }
        let url = format!("{API}/repos/acme/shop/secret-scanning/alerts/7");
        self.alerts.insert(7, json!({
            "number": 7, "created_at": moment(0), "updated_at": null, "locations_url": format!("{url}/locations"), "url": url,
            "html_url": "https://github.com/acme/shop/security/secret-scanning/7", "state": "open", "resolution": null,
            "resolved_at": null, "resolved_by": null, "resolution_comment": null, "secret_type": "github_personal_access_token",
            "secret_type_display_name": "GitHub Personal Access Token", "secret": LEAKED, "validity": "active",
        }));
        self
    }

    fn repository(&mut self, asked: &Asked, login: &str) -> Answer {
        let name = format!("{}/{}", asked.path["owner"], asked.path["repo"]).to_lowercase();
        match name.as_str() {
            "acme/shop" => {}
            "acme/store" => return error(301, "Moved Permanently"),
            _ => return error(404, "Not Found"),
        }
        let number = asked.number("issue_number");
        match asked.operation.as_str() {
            "repos/get" => Answer::new(
                200,
                json!({
                    "id": 1, "node_id": "R_1", "name": "shop", "full_name": "acme/shop", "private": true, "has_issues": true,
                    "archived": false, "url": format!("{API}/repos/acme/shop"), "html_url": "https://github.com/acme/shop",
                }),
            ),
            "issues/list-for-repo" => {
                let all: Vec<Value> = self.issues.values().rev().cloned().collect();
                let (page, next) = asked.page(all, 30);
                let answer = Answer::new(200, page.into());
                next.into_iter().fold(answer, |answer, next| answer.header("link", next))
            }
            "issues/create" if asked.text("title").is_empty() => error(422, "Validation Failed"),
            "issues/create" => {
                let number = self.issues.len() as u64 + 1;
                let issue = self.issue(number, asked, login);
                self.issues.insert(number, issue.clone());
                Answer::new(201, issue)
            }
            "issues/get-comment" | "issues/delete-comment" => self.comment(asked),
            "secret-scanning/get-alert" | "secret-scanning/update-alert" => self.alert(asked),
            _ if !self.issues.contains_key(&number) => error(404, "Not Found"),
            "issues/get" => Answer::new(200, self.issues[&number].clone()),
            "issues/update" => {
                let (now, issue) = (moment(self.now), self.issues.get_mut(&number).unwrap());
                let is_closed = asked.text("state") == "closed";
                let closed_at = if is_closed { json!(now) } else { Value::Null };
                *issue = with(
                    with(issue.take(), asked.body.clone()),
                    json!({ "updated_at": now, "closed_at": closed_at }),
                );
                Answer::new(200, issue.clone())
            }
            "issues/list-comments" => {
                let of = self.comments.values().filter(|(issue, _)| *issue == number);
                let (page, next) = asked.page(of.map(|(_, comment)| comment.clone()).collect(), 30);
                let answer = Answer::new(200, page.into());
                next.into_iter().fold(answer, |answer, next| answer.header("link", next))
            }
            "issues/create-comment" => Answer::new(201, self.write(number, asked.text("body"), login)),
            other => panic!("{other} is described, and not served"),
        }
    }

    fn issue(&self, number: u64, asked: &Asked, login: &str) -> Value {
        let (url, now) = (format!("{API}/repos/acme/shop/issues/{number}"), moment(self.now));
        json!({
            "id": 1000 + number, "node_id": "I_1", "number": number, "title": asked.text("title"), "body": asked.text("body"),
            "state": "open", "state_reason": null, "locked": false, "comments": 0, "labels": [{ "name": "triage" }],
            "assignees": [], "milestone": null, "user": user(login), "closed_at": null, "created_at": now, "updated_at": now,
            "url": url, "repository_url": format!("{API}/repos/acme/shop"), "labels_url": format!("{url}/labels{{/name}}"),
            "comments_url": format!("{url}/comments"), "events_url": format!("{url}/events"),
            "html_url": format!("https://github.com/acme/shop/issues/{number}"),
        })
    }

    /// Adds a comment to an issue.
    fn write(&mut self, issue: u64, body: &str, login: &str) -> Value {
        let (id, now) = (self.comments.last_key_value().map_or(500, |(id, _)| id + 1), moment(self.now));
        let url = format!("{API}/repos/acme/shop/issues");
        let comment = json!({
            "id": id, "node_id": "IC_1", "body": body, "user": user(login), "created_at": now, "updated_at": now,
            "url": format!("{url}/comments/{id}"), "issue_url": format!("{url}/{issue}"),
            "html_url": format!("https://github.com/acme/shop/issues/{issue}#issuecomment-{id}"),
        });
        self.comments.insert(id, (issue, comment.clone()));
        self.counted(issue);
        comment
    }

    fn comment(&mut self, asked: &Asked) -> Answer {
        let id = asked.number("comment_id");
        let Some((issue, comment)) = self.comments.get(&id).cloned() else { return error(404, "Not Found") };
        if asked.operation == "issues/get-comment" {
            return Answer::new(200, comment);
        }
        self.comments.remove(&id);
        self.counted(issue);
        Answer::empty(204)
    }

    fn counted(&mut self, issue: u64) {
        let count = self.comments.values().filter(|(of, _)| *of == issue).count();
        let more = json!({ "comments": count, "updated_at": moment(self.now) });
        let issue = self.issues.get_mut(&issue).unwrap();
        *issue = with(issue.take(), more);
    }
}

/// A home with the connector as an installation of an app has it, and every power on the issues of the repository.
fn tickets(github: &Contract<GitHub>) -> World {
    let entry = "[connector.credential]\nbearer_file = \"credential.key\"";
    world("follow-up", "github", "github", &github.address, entry, TOKEN)
}

fn scope() -> String {
    let allow = |name| {
        format!(
            "[[allow]]\ncapability = \"remit:tickets/{name}\"\n\
             resources = [\"ticket:github/acme/shop\", \"ticket:github/acme/shop/*\"]\n"
        )
    };
    ["inspect", "open", "comment", "resolve"].map(allow).concat()
}

#[test]
fn an_issue_is_opened_commented_closed_and_all_of_it_taken_back() {
    let github = Contract::start(GitHub::new());
    let world = tickets(&github);
    let all = json!({ "place": "github/acme/shop", "text": "It was revoked.", "resolve": true }).to_string();
    let planned = world.remit(&["plan", FOLLOW, "--input", &all]).exits(0).out;
    assert!(planned.contains("GitHub deletes none"), "what an undo cannot do is said before: {planned}");
    world.grant(FOLLOW, &all, "all");
    assert!(github.system().issues.is_empty(), "a rehearsal opens nothing");
    let ran = world.run("all").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    let issue = github.system().issues[&1].clone();
    assert_eq!(
        (&issue["title"], &issue["state_reason"], &issue["comments"]),
        (&json!("A token leaked"), &json!("completed"), &json!(1))
    );
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    let issue = github.system().issues[&1].clone();
    assert_eq!(
        (&issue["state"], &issue["state_reason"], &issue["comments"]),
        (&json!("closed"), &json!("not_planned"), &json!(0)),
        "{issue}"
    );
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    assert!(!common::contains(&world.all_bytes(), TOKEN), "the credential is in the home");
    world.audit_is_sound();
}

#[test]
fn what_a_person_answered_stays_with_what_it_answers() {
    let github = Contract::start(GitHub::new());
    let world = tickets(&github);
    let open = json!({ "place": "github/acme/shop" }).to_string();
    world.grant_scope(&scope(), FOLLOW, &open, "open");
    world.run("open").exits(0);
    let (opened, _) = world.last_run();
    let comment = json!({ "path": "github/acme/shop/1", "text": "I had a look." }).to_string();
    world.grant_scope(&scope(), FOLLOW, &comment, "comment");
    world.run("comment").exits(0);
    let (commented, _) = world.last_run();

    let answered = github.system().write(1, "Thank you!", "alice")["id"].as_u64().unwrap();
    for run in [&opened, &commented] {
        assert_ne!(world.remit(&["revert", run]).code, 0);
    }
    assert_eq!(github.system().issues[&1]["comments"], 2);
    github.system().comments.remove(&answered);
    github.system().counted(1);
    world.remit(&["revert", &commented]).exits(0);
    world.remit(&["revert", &opened]).exits(0);
    assert_eq!(github.system().issues[&1]["state_reason"], "not_planned");

    // What is closed is not closed again, and what is there under another name, or is no issue, is told.
    let refused = |path: &str, why: &str| {
        let input = json!({ "path": path, "resolve": true }).to_string();
        world.remit(&["plan", FOLLOW, "--input", &input]).exits(1).says(why);
    };
    refused("github/acme/shop/1", "closed already: not_planned");
    refused("github/acme/shop/7", "there is no issue");
    refused("github/Acme/shop/1", "like this: github/acme/shop/1");
    refused("github/acme/shop/01", "like this: github/acme/shop/1");
    refused("github/acme/store/1", "renamed, or moved");
    let pull = with(github.system().issues[&1].clone(), json!({ "number": 2 }));
    let of = json!({ "pull_request": { "url": "x", "html_url": "x", "diff_url": "x", "patch_url": "x" } });
    github.system().issues.insert(2, with(pull, of));
    refused("github/acme/shop/2", "is a pull request");
    github.system().is_limited = true;
    refused("github/acme/shop/1", "try again in 3600 seconds");
    world.audit_is_sound();
}

/// What was done and not answered is found by what it says, and not done again. Which of them it was, only a person can tell.
#[test]
fn what_was_done_and_not_answered_is_found() {
    let github = Contract::start(GitHub::new());
    let world = tickets(&github);
    let open = json!({ "place": "github/acme/shop" }).to_string();
    let comment = json!({ "path": "github/acme/shop/1", "text": "It was revoked." }).to_string();
    for (operation, input, name) in
        [("issues/create", open, "open"), ("issues/create-comment", comment, "comment")]
    {
        github.lose_answer_to(operation);
        world.grant_scope(&scope(), FOLLOW, &input, name);
        assert_ne!(world.run(name).code, 0);
        let (run, _) = world.last_run();
        let shown = world.remit(&["show", &run]).out;
        assert!(shown.contains("nobody knows which"), "{shown}");
        assert_eq!(github.count(operation), 1);
    }
    assert_eq!(github.system().issues[&1]["comments"], 1, "all of it stands");
    world.audit_is_sound();
}

/// The bot asks for the revocation of the value, alice approves.
fn revocation(world: &World) {
    let input = json!({ "place": "github" }).to_string();
    let leaked = ["--secret-input", "token=@leaked"];
    private(world, "leaked", LEAKED);
    let plan = ["plan", REVOKE, "--input", &input, "--emit-scope", "least.toml", "--json"];
    let planned = world.remit(&[&plan[..], &leaked].concat()).exits(0).out;
    assert!(planned.contains("alice"), "whose it is stands in the plan: {planned}");
    let request = ["request", REVOKE, "--input", &input, "--scope", "least.toml"];
    world.ask(&[&request[..], &leaked].concat(), "revocation");
}

#[test]
fn a_leaked_token_is_revoked_by_its_value_and_works_no_more() {
    let github = Contract::start(GitHub::new());
    let world = world("revoke-leaked-value", "github", "github", &github.address, "", TOKEN);
    revocation(&world);
    assert_eq!(github.count("credentials/revoke"), 0, "a rehearsal revokes nothing");
    let ran = world.run("revocation").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    assert!(!github.system().users.contains_key(LEAKED));
    let (run, _) = world.last_run();
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    // A value that is no token is not sent anywhere to be revoked.
    let plan = ["plan", REVOKE, "--input", "{\"place\":\"github\"}", "--secret-input", "token=@leaked"];
    world.remit(&plan).exits(1).says("there is nothing to revoke");
    assert_eq!(github.count("credentials/revoke"), 1);
    std::fs::remove_file(world.path("leaked")).unwrap();
    assert!(!common::contains(&world.all_bytes(), LEAKED), "the value is in the home");
    world.audit_is_sound();
}

#[test]
fn a_revocation_that_is_accepted_and_not_done_is_found_out() {
    let github = Contract::start(GitHub { forgets: true, ..GitHub::new() });
    let world = world("revoke-leaked-value", "github", "github", &github.address, "", TOKEN);
    revocation(&world);
    assert_ne!(world.run("revocation").code, 0);
    let (run, _) = world.last_run();
    let shown = world.remit(&["show", &run]).out;
    assert!(shown.contains("still takes it") || shown.contains("still works"), "{shown}");
    assert_eq!(github.count("credentials/revoke"), 1, "it is not asked for again");
    world.audit_is_sound();
}

#[test]
fn who_signs_in_to_revoke_is_told_to_do_it_without() {
    let github = Contract::start(GitHub::new());
    let entry = "[connector.credential]\nbearer_file = \"credential.key\"";
    let world = world("revoke-leaked-value", "github", "github", &github.address, entry, TOKEN);
    revocation(&world);
    let ran = world.run("revocation").exits(1);
    assert!(
        format!("{}{}", ran.out, ran.err).contains("needs no [connector.credential]"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert!(github.system().users.contains_key(LEAKED));

    // Whether a credential works is found out before it is needed.
    let told = world.remit(&["doctor"]).exits(0).out;
    assert!(told.contains("credential of github") && told.contains("it works"), "{told}");
    private(&world, "home/credential.key", "ghs_aTokenThatExpired");
    let told = world.remit(&["doctor"]).exits(1).out;
    assert!(told.contains("status 401") && told.contains("renew its file"), "{told}");
    assert_eq!(github.count("rate-limit/get"), 2);
}

/// An action that calls one function with one path, and nothing else.
fn calls(world: &World, interface: &str, function: &str, path: &str) {
    let text = include_str!("one.wat").replace("INTERFACE", interface).replace("FUNCTION", function);
    let text = text.replace("PATH", path).replace("LENGTH", &path.len().to_string());
    world.write("one.wasm", wat::parse_str(text).unwrap());
    world.remit(&["sign", "one.wasm", "--key", "publisher.key"]).exits(0);
}

#[test]
fn an_alert_is_resolved_as_revoked_and_opened_again() {
    let github = Contract::start(GitHub::new().with_leak());
    let world = tickets(&github);
    let status = || {
        let alert = github.system().alerts[&7].clone();
        (alert["state"].clone(), alert["resolution"].clone())
    };
    let (open, revoked) = ((json!("open"), json!(null)), (json!("resolved"), json!("revoked")));
    let resolves = |path: &str| calls(&world, "remit-github:alerts/resolve@0.1.0", "revoked", path);
    resolves("github/acme/shop/7");
    let planned = world.remit(&["plan", "one.wasm", "--input", "{}"]).exits(0).out;
    assert!(planned.contains("open the alert again"), "{planned}");
    world.grant("one.wasm", "{}", "resolve");
    assert_eq!(status(), open, "a rehearsal changes nothing");
    world.run("resolve").exits(0);
    assert_eq!(status(), revoked);
    let (run, _) = world.last_run();
    world.remit(&["plan", "one.wasm", "--input", "{}"]).exits(1).says("resolved already: revoked");
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(status(), open);
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    // Not what somebody else made of it.
    github.lose_answer_to("secret-scanning/update-alert");
    world.grant("one.wasm", "{}", "lost");
    assert_ne!(world.run("lost").code, 0);
    assert_eq!(status(), open, "it was found, and taken back");
    world.grant("one.wasm", "{}", "again");
    world.run("again").exits(0);
    let (run, _) = world.last_run();
    github.system().alerts.get_mut(&7).unwrap()["resolution"] = json!("used_in_tests");
    assert_ne!(world.remit(&["revert", &run]).code, 0);
    assert_eq!(status().1, "used_in_tests");
    for (path, why) in
        [("github/acme/shop/8", "there is no alert"), ("github/Acme/shop/7", "like this: github/acme/shop/7")]
    {
        resolves(path);
        world.remit(&["plan", "one.wasm", "--input", "{}"]).exits(1).says(why);
    }
    for secret in [LEAKED, TOKEN] {
        assert!(!common::contains(&world.all_bytes(), secret), "a secret is in the home");
    }
    world.audit_is_sound();
}

#[test]
fn the_access_of_a_members_token_is_revoked() {
    let github = Contract::start(GitHub::new().with_leak());
    let world = tickets(&github);
    let revokes = |path: &str| calls(&world, "remit:tokens/revoke@0.1.0", "revoke", path);
    // The second page of the list has it.
    revokes("github/acme/1");
    let plan = ["plan", "one.wasm", "--input", "{}", "--emit-scope", "least.toml", "--json"];
    let planned = world.remit(&plan).exits(0).out;
    for told in ["alice", "token 1", "contents:write"] {
        assert!(planned.contains(told), "{told} in {planned}");
    }
    world.ask(&["request", "one.wasm", "--input", "{}", "--scope", "least.toml"], "revoke");
    assert_eq!(github.count("orgs/update-pat-access"), 0, "a rehearsal revokes nothing");
    let ran = world.run("revoke").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    assert_eq!(github.system().grants.len(), 100);
    assert!(!github.system().grants.contains_key(&1));
    world.remit(&["plan", "one.wasm", "--input", "{}"]).exits(1).says("there is no token github/acme/1");
    for (path, why) in [("github/Acme/2", "like this: github/acme"), ("github/acme/02", "there is no token")]
    {
        revokes(path);
        world.remit(&["plan", "one.wasm", "--input", "{}"]).exits(1).says(why);
    }
    assert!(!common::contains(&world.all_bytes(), TOKEN));
    world.audit_is_sound();
}
