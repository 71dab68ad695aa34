//! The connector to GitLab, against a server that answers as GitLab's published documentation says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::contract::{Answer, Asked, Contract, System, moment, with};
use super::{FOLLOW, REVOKE, private, revocation, world};
use crate::common;

const ADMIN: &str = "glpat-theTokenOfAnAdministrator";
const LEAKED: &str = "glpat-aTokenThatLeakedFromAlice";
const API: &str = "https://gitlab.example";

/// One project, number 7: `acme/platform/shop`.
#[derive(Default)]
struct GitLab {
    /// By value.
    tokens: BTreeMap<String, Token>,
    issues: BTreeMap<u64, Value>,
    /// By number, with that of their issue.
    notes: BTreeMap<u64, (u64, Value)>,
    now: u64,
}

struct Token {
    id: u64,
    user: u64,
    scopes: Vec<&'static str>,
    is_revoked: bool,
}

fn error(status: u16, message: &str) -> Answer {
    Answer::new(status, json!({ "message": message }))
}

fn user(id: u64) -> Value {
    let name = if id == 1 { "remit" } else { "alice" };
    json!({ "id": id, "username": name, "name": name, "state": "active", "web_url": format!("{API}/{name}") })
}

impl Token {
    fn shown(&self) -> Value {
        json!({
            "id": self.id, "name": "ci", "description": null, "revoked": self.is_revoked, "created_at": moment(0),
            "scopes": self.scopes, "user_id": self.user, "last_used_at": null, "active": !self.is_revoked,
            "expires_at": "2027-01-31",
        })
    }
}

impl System for GitLab {
    const DESCRIPTION: &'static str = include_str!("gitlab.json");

    fn mistake(_: &Asked) -> Option<String> {
        None
    }

    fn refusal(why: &str) -> Answer {
        error(400, why)
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        self.now += 1;
        let bearer = asked.headers.get("authorization").and_then(|it| it.strip_prefix("Bearer "));
        let value =
            asked.headers.get("private-token").map(String::as_str).or(bearer).unwrap_or_default().to_owned();
        let Some(own) = self.tokens.get(&value) else { return error(401, "401 Unauthorized") };
        if own.is_revoked {
            return Answer::new(
                401,
                json!({ "error": "invalid_token", "error_description": "Token was revoked." }),
            );
        }
        let (own, is_admin, may) = (own.id, own.user == 1, own.scopes.contains(&"api"));
        let answer = match asked.operation.as_str() {
            "tokens/get-self" => Answer::new(200, self.tokens[&value].shown()),
            "tokens/revoke-self" => self.revoke(own),
            _ if !may => Answer::new(403, json!({ "error": "insufficient_scope", "scope": "api read_api" })),
            "tokens/list" => {
                let of = |token: &&Token| is_admin && !token.is_revoked || token.id == own;
                let all: Vec<Value> = self.tokens.values().filter(of).map(Token::shown).collect();
                let (page, next) = asked.page(all, 20);
                let answer = Answer::new(200, page.into());
                next.into_iter().fold(answer, |answer, next| answer.header("link", next))
            }
            "tokens/get" | "tokens/revoke" if !is_admin && asked.number("id") != own => {
                error(401, "401 Unauthorized")
            }
            "tokens/get" => match self.tokens.values().find(|token| token.id == asked.number("id")) {
                Some(token) => Answer::new(200, token.shown()),
                None => error(404, "404 Not found"),
            },
            "tokens/revoke" => self.revoke(asked.number("id")),
            "users/get" => Answer::new(200, user(asked.number("id"))),
            _ => self.project(asked),
        };
        answer.header("ratelimit-limit", 2000).header("ratelimit-remaining", 2000 - self.now)
    }
}

impl GitLab {
    fn new() -> Self {
        let admin = Token { id: 11, user: 1, scopes: vec!["api"], is_revoked: false };
        // Good for nothing but to read what is in repositories.
        let leaked = Token { id: 42, user: 2, scopes: vec!["read_repository"], is_revoked: false };
        Self { tokens: [(ADMIN.to_owned(), admin), (LEAKED.to_owned(), leaked)].into(), ..Self::default() }
    }

    fn revoke(&mut self, id: u64) -> Answer {
        match self.tokens.values_mut().find(|token| token.id == id && !token.is_revoked) {
            Some(token) => token.is_revoked = true,
            None => return error(400, "400 Bad request"),
        }
        Answer::empty(204)
    }

    fn is_revoked(&self, value: &str) -> bool {
        self.tokens[value].is_revoked
    }

    fn project(&mut self, asked: &Asked) -> Answer {
        if !matches!(asked.path["id"].as_str(), "7" | "acme/platform/shop") {
            return error(404, "404 Project Not Found");
        }
        let number = asked.number("issue_iid");
        match asked.operation.as_str() {
            "projects/get" => Answer::new(
                200,
                json!({
                    "id": 7, "name": "shop", "path": "shop", "path_with_namespace": "acme/platform/shop", "archived": false,
                    "issues_access_level": "enabled", "web_url": format!("{API}/acme/platform/shop"),
                }),
            ),
            "issues/list" => {
                let all: Vec<Value> = self.issues.values().rev().cloned().collect();
                let (page, next) = asked.page(all, 20);
                let answer = Answer::new(200, page.into());
                next.into_iter().fold(answer, |answer, next| answer.header("link", next))
            }
            "issues/create" => {
                let number = self.issues.len() as u64 + 1;
                let issue = self.issue(number, asked.text("title"), asked.text("description"));
                self.issues.insert(number, issue.clone());
                Answer::new(201, issue)
            }
            _ if !self.issues.contains_key(&number) => error(404, "404 Issue Not Found"),
            "issues/get" => Answer::new(200, self.issues[&number].clone()),
            "issues/update" => Answer::new(200, self.event(number, asked.text("state_event"))),
            "notes/list" => {
                let of = self.notes.values().rev().filter(|(issue, _)| *issue == number);
                let (page, next) = asked.page(of.map(|(_, note)| note.clone()).collect(), 20);
                let answer = Answer::new(200, page.into());
                next.into_iter().fold(answer, |answer, next| answer.header("link", next))
            }
            // A command, as GitLab takes it.
            "notes/create" if asked.text("body") == "/close" => {
                self.event(number, "close");
                Answer::new(202, json!({ "commands_changes": {}, "summary": ["Closed this issue."] }))
            }
            "notes/create" => Answer::new(201, self.write(number, asked.text("body"), 1)),
            "notes/get" | "notes/delete" => self.note(asked),
            other => panic!("{other} is described, and not served"),
        }
    }

    fn issue(&self, number: u64, title: &str, text: &str) -> Value {
        let now = moment(self.now);
        json!({
            "id": 1000 + number, "iid": number, "project_id": 7, "title": title, "description": text, "state": "opened",
            "created_at": now, "updated_at": now, "closed_at": null, "labels": ["triage"], "assignees": [], "author": user(1),
            "user_notes_count": 0, "confidential": false, "discussion_locked": null,
            "web_url": format!("{API}/acme/platform/shop/-/issues/{number}"),
            "references": {
                "short": format!("#{number}"), "relative": format!("#{number}"), "full": format!("acme/platform/shop#{number}"),
            },
        })
    }

    fn event(&mut self, number: u64, event: &str) -> Value {
        let now = moment(self.now);
        let (state, closed_at) =
            if event == "close" { ("closed", json!(now)) } else { ("opened", Value::Null) };
        let issue = self.issues.get_mut(&number).unwrap();
        *issue = with(issue.take(), json!({ "state": state, "closed_at": closed_at, "updated_at": now }));
        issue.clone()
    }

    /// Adds a comment to an issue.
    fn write(&mut self, issue: u64, body: &str, author: u64) -> Value {
        let (id, now) = (self.notes.last_key_value().map_or(300, |(id, _)| id + 1), moment(self.now));
        let note = json!({
            "id": id, "body": body, "author": user(author), "created_at": now, "updated_at": now, "system": false,
            "noteable_id": 1000 + issue, "noteable_type": "Issue", "noteable_iid": issue,
        });
        self.notes.insert(id, (issue, note.clone()));
        self.counted(issue);
        note
    }

    fn note(&mut self, asked: &Asked) -> Answer {
        let id = asked.number("note_id");
        let Some((issue, note)) = self.notes.get(&id).cloned() else {
            return error(404, "404 Note Not Found");
        };
        if asked.operation == "notes/get" {
            return Answer::new(200, note);
        }
        let unmodified = asked.headers.get("if-unmodified-since").map_or("9", String::as_str);
        if note["updated_at"].as_str().unwrap().trim_end_matches('Z') > unmodified {
            return error(412, "412 Precondition Failed");
        }
        self.notes.remove(&id);
        self.counted(issue);
        Answer::empty(204)
    }

    fn counted(&mut self, issue: u64) {
        let count = self.notes.values().filter(|(of, _)| *of == issue).count();
        let issue = self.issues.get_mut(&issue).unwrap();
        *issue = with(issue.take(), json!({ "user_notes_count": count }));
    }
}

const CREDENTIAL: &str =
    "[connector.credential]\nheader = { name = \"PRIVATE-TOKEN\", file = \"credential.key\" }";

fn scope() -> String {
    let allow = |name| {
        format!(
            "[[allow]]\ncapability = \"remit:tickets/{name}\"\nresources = [\"ticket:gitlab/7\", \"ticket:gitlab/7/*\"]\n"
        )
    };
    ["inspect", "open", "comment", "resolve"].map(allow).concat()
}

#[test]
fn an_issue_of_a_project_is_opened_commented_closed_and_all_of_it_taken_back() {
    let gitlab = Contract::start(GitLab::new());
    let world = world("follow-up", "gitlab", "gitlab", &gitlab.address, CREDENTIAL, ADMIN);
    let all = json!({ "place": "gitlab/7", "text": "It was revoked.", "resolve": true }).to_string();
    let planned = world.remit(&["plan", FOLLOW, "--input", &all]).exits(0).out;
    assert!(planned.contains("acme/platform/shop"), "the project's name is told: {planned}");
    world.grant(FOLLOW, &all, "all");
    assert!(gitlab.system().issues.is_empty(), "a rehearsal opens nothing");
    let ran = world.run("all").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    let issue = gitlab.system().issues[&1].clone();
    assert_eq!((&issue["state"], &issue["user_notes_count"]), (&json!("closed"), &json!(1)), "{issue}");
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    let issue = gitlab.system().issues[&1].clone();
    assert_eq!((&issue["state"], &issue["user_notes_count"]), (&json!("closed"), &json!(0)), "{issue}");

    // What a person answered is not taken back with it.
    let open = json!({ "place": "gitlab/7" }).to_string();
    world.grant_scope(&scope(), FOLLOW, &open, "open");
    world.run("open").exits(0);
    let (opened, _) = world.last_run();
    let comment = json!({ "path": "gitlab/7/2", "text": "I had a look." }).to_string();
    world.grant_scope(&scope(), FOLLOW, &comment, "comment");
    world.run("comment").exits(0);
    let (commented, _) = world.last_run();
    let answered = gitlab.system().write(2, "Thank you!", 2)["id"].as_u64().unwrap();
    for run in [&opened, &commented] {
        assert_ne!(world.remit(&["revert", run]).code, 0);
    }
    gitlab.system().notes.remove(&answered);
    gitlab.system().counted(2);
    world.remit(&["revert", &commented]).exits(0);
    world.remit(&["revert", &opened]).exits(0);
    assert_eq!(gitlab.system().issues[&2]["state"], "closed");

    // A text is a text, and a thing has one name.
    let refused = |input: Value, why: &str| {
        world.remit(&["plan", FOLLOW, "--input", &input.to_string()]).exits(1).says(why);
    };
    gitlab.system().event(2, "reopen");
    let writes = gitlab.count("notes/create");
    refused(json!({ "path": "gitlab/7/2", "text": "Done.\n /close" }), "line 2 of the text begins with `/`");
    assert_eq!((writes, gitlab.system().issues[&2]["state"].as_str()), (1 + 1, Some("opened")));
    refused(json!({ "path": "gitlab/7/1", "resolve": true }), "closed already");
    refused(json!({ "path": "gitlab/7/9", "resolve": true }), "there is no issue");
    refused(json!({ "path": "gitlab/7/02", "resolve": true }), "like this: gitlab/7/2");
    assert!(!common::contains(&world.all_bytes(), ADMIN), "the credential is in the home");
    world.audit_is_sound();
}

/// What was done and not answered is found by what it says, and not done again. Which of them it was, only a person can tell.
#[test]
fn what_was_done_and_not_answered_is_found() {
    let gitlab = Contract::start(GitLab::new());
    let world = world("follow-up", "gitlab", "gitlab", &gitlab.address, CREDENTIAL, ADMIN);
    let open = json!({ "place": "gitlab/7" }).to_string();
    let comment = json!({ "path": "gitlab/7/1", "text": "It was revoked." }).to_string();
    for (operation, input, name) in [("issues/create", open, "open"), ("notes/create", comment, "comment")] {
        gitlab.lose_answer_to(operation);
        world.grant_scope(&scope(), FOLLOW, &input, name);
        assert_ne!(world.run(name).code, 0);
        let (run, _) = world.last_run();
        let shown = world.remit(&["show", &run]).out;
        assert!(shown.contains("nobody knows which"), "{shown}");
        assert_eq!(gitlab.count(operation), 1);
    }
    assert_eq!(gitlab.system().issues[&1]["user_notes_count"], 1, "all of it stands");
    world.audit_is_sound();
}

#[test]
fn a_leaked_access_token_is_found_by_its_value_and_revoked_by_its_number() {
    let gitlab = Contract::start(GitLab::new());
    let world = world("revoke-leaked-token", "gitlab", "gitlab", &gitlab.address, CREDENTIAL, ADMIN);
    revocation(&world, "gitlab", LEAKED);
    assert!(!gitlab.system().is_revoked(LEAKED), "a rehearsal revokes nothing");
    let ran = world.run("revocation").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    assert!(gitlab.system().is_revoked(LEAKED));
    let (run, records) = world.last_run();
    let intents: Vec<&Value> = records.iter().map(|record| &record["event"]["intent"]).collect();
    let revoked = intents.iter().find(|intent| intent["effect"] == "irrevocable").unwrap();
    assert_eq!(revoked["resource"], "token:gitlab/42");
    assert!(revoked.to_string().contains("alice"), "{revoked}");
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    for secret in [LEAKED, ADMIN] {
        assert!(!common::contains(&world.all_bytes(), secret), "a secret is in the home");
    }
    // Who asks again is told that there is no such token; and nobody revokes the token that Remit itself uses.
    private(&world, "leaked", LEAKED);
    let plan = ["plan", REVOKE, "--input", "{\"place\":\"gitlab\"}", "--secret-input", "token=@leaked"];
    world.remit(&plan).exits(1).says("no access token of gitlab");
    private(&world, "leaked", ADMIN);
    world.remit(&plan).exits(1).says("the token that Remit itself uses");
    world.audit_is_sound();
}

/// The entry has no credential at all: the token that leaked revokes itself.
#[test]
fn a_leaked_access_token_revokes_itself() {
    let gitlab = Contract::start(GitLab::new());
    let world = world("revoke-leaked-value", "gitlab", "gitlab", &gitlab.address, "", "none");
    private(&world, "leaked", LEAKED);
    let (action, input) = ("revoke-leaked-value.wasm", json!({ "place": "gitlab" }).to_string());
    let leaked = ["--secret-input", "token=@leaked"];
    let plan = ["plan", action, "--input", &input, "--emit-scope", "least.toml", "--json"];
    let planned = world.remit(&[&plan[..], &leaked].concat()).exits(0).out;
    assert!(planned.contains("read_repository"), "what it may do stands in the plan: {planned}");
    let request = ["request", action, "--input", &input, "--scope", "least.toml"];
    world.ask(&[&request[..], &leaked].concat(), "revocation");
    let ran = world.run("revocation").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    assert!(gitlab.system().is_revoked(LEAKED));
    assert_eq!((gitlab.count("tokens/revoke-self"), gitlab.count("tokens/revoke")), (1, 0));
    std::fs::remove_file(world.path("leaked")).unwrap();
    assert!(!common::contains(&world.all_bytes(), LEAKED), "the value is in the home");
    world.audit_is_sound();
}
