//! `connector.toml`: each mistake is told at its place.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use crate::common::DESCRIPTION;
use remit_connector::{Auth, Cas, Description, Entry};
use remit_gate::{Countermeasure, Effect};
use remit_text::Table;

#[test]
fn a_description_says_what_can_be_sent() {
    let description = crate::common::description();
    assert_eq!(description.interfaces(), ["acme:npm/tokens@0.1.0"]);
    assert_eq!(description.auth(), [Auth::Bearer]);
    let revoke = description.function("acme:npm/tokens.revoke").unwrap();
    assert_eq!((revoke.effect(), revoke.kind(), revoke.cas()), (Effect::Change, "token", Cas::None));
    assert_eq!(revoke.countermeasure(), Some(Countermeasure::Evict));
    assert_eq!(revoke.path().names(), ["org", "id"]);
    assert_eq!(revoke.parameters().into_iter().collect::<Vec<_>>(), ["fresh", "n", "reason"]);
    let shown: Vec<_> = revoke.change().iter().map(ToString::to_string).collect();
    assert_eq!(shown[0], "DELETE /orgs/{org}/tokens/{id}");
    assert_eq!(
        shown[2],
        "POST /revoke query {\"dry\":\"no\"} form {\"id\":\"{id}\",\"tenant\":\"{config.tenant}\"}"
    );
    assert_eq!(description.functions().count(), 2);
    let example = r#"
interfaces = ["remit:tokens/tokens@0.1.0"]
auth = ["bearer"]
[function."remit:tokens/tokens.revoke"]
effect = "irrevocable"
irrevocable_because = "the registry has no way to make the same token again"
kind = "token"
path = "{org}/{id}"
change = ["DELETE /-/npm/v1/tokens/token/{id}"]
reads = ["GET /-/npm/v1/tokens"]
secrets = ["/objects/*/token"]
countermeasure = "evict"
cas = "none"
"#;
    // What is about the instance as a whole.
    let open = "interfaces = ['a:b/c@0.1.0']\n[function.'a:b/c.open']\neffect = 'change'\nkind = 'ticket'\npath = ''\n\
        change = [{ send = 'POST /issue', form = { title = '{title}' } }]\nundo = ['DELETE /issue/{got.id}']";
    let open = Description::parse(open).unwrap();
    let path = open.function("a:b/c.open").unwrap().path();
    assert!(path.bind("tracker").is_some_and(|names| names.is_empty()) && path.bind("tracker/1").is_none());
    // A name that has slashes in it, where the system takes it as one text.
    let put = "interfaces = ['a:b/c@0.1.0']\n[function.'a:b/c.put']\neffect = 'observe'\nkind = 'entry'\npath = '{store}/{name**}'\n\
        reads = [{ send = 'GET /{store}', query = { name = '{name}' } }]";
    let put = Description::parse(put).unwrap();
    let path = put.function("a:b/c.put").unwrap().path();
    for name in ["prod/db/password", "db"] {
        let bound = format!("aws/main/{name}");
        let bound = path.bind(&bound).unwrap();
        assert_eq!((bound["store"], bound["name"]), ("main", name));
    }
    assert!(path.bind("aws/main").is_none() && path.bind("aws").is_none());
    let revoke = Description::parse(example).unwrap();
    let revoke = revoke.function("remit:tokens/tokens.revoke").unwrap();
    assert!(revoke.irrevocable_because().unwrap().starts_with("the registry"));
    assert_eq!(revoke.secrets()[0].as_str(), "/objects/*/token");
}

#[test]
fn the_descriptions_of_the_manual_are_ones() {
    let manual = include_str!("../../../docs/connectors.md");
    let blocks: Vec<&str> = manual
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.starts_with("# connector.toml"))
        .collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        Description::parse(block).unwrap_or_else(|mistake| panic!("{mistake}"));
    }
}

#[test]
fn mistakes_are_told_at_their_place() {
    let observe = |more: &str| format!("effect = 'observe'\nkind = 'token'\npath = '{{id}}'\n{more}");
    let change = |more: &str| format!("effect = 'change'\nkind = 'token'\npath = '{{id}}'\n{more}");
    let good = "change = ['DELETE /a/{id}']\nundo = ['POST /a/{id}']\n";
    let gone = |more: &str| {
        format!("effect = 'irrevocable'\nirrevocable_because = 'x'\nkind = 'token'\npath = '{{id}}'\n{more}")
    };
    let write = |template: &str| gone(&format!("change = [\n{template}\n]"));
    let read = |template: &str| observe(&format!("reads = [\n{template}\n]"));
    let cases: Vec<(String, usize, &str)> = vec![
        ("effect = 'disclose'\nkind = 't'\npath = '{id}'".to_owned(), 3, "discloses nothing"),
        ("effect = 'write'\nkind = 't'\npath = '{id}'".to_owned(), 3, "unknown variant `write`"),
        ("effect = 'observe'\npath = '{id}'".to_owned(), 2, "missing field `kind`"),
        (observe("colour = 1"), 6, "unknown field `colour`"),
        (observe("").replace("'token'", "'secret'"), 4, "the kind `secret` is the host's own"),
        (observe("").replace("'token'", "'file'"), 4, "the kind `file` is the host's own"),
        (observe("").replace("'token'", "'run'"), 4, "the kind `run` is the host's own"),
        (observe("").replace("'token'", "'Token'"), 4, "is not a kind"),
        (observe("").replace("{id}", "{id}/{id}"), 5, "`{id}` is there twice"),
        (observe("").replace("{id}", "id"), 5, "is not the form of a path"),
        (observe("").replace("{id}", "{undo}"), 5, "is not the form of a path"),
        (observe("").replace("{id}", "{id}/"), 5, "is not the form of a path"),
        (observe("").replace("{id}", "/"), 5, "is not the form of a path"),
        (observe("").replace("{id}", "{id**}/{name}"), 5, "is not the form of a path"),
        (observe("").replace("{id}", "{**}"), 5, "is not the form of a path"),
        (
            observe("").replace("{id}", "{id**}") + "reads = ['GET /a/{id}']",
            6,
            "cannot be in the path of a request",
        ),
        (observe("change = ['DELETE /a/{id}']"), 6, "the effect is `observe`, and here is something"),
        (observe("undo = ['DELETE /a/{id}']"), 6, "the effect is `observe`"),
        (observe("countermeasure = 'evict'"), 6, "no countermeasure"),
        (observe("irrevocable_because = 'x'"), 2, "is for the effect `irrevocable`"),
        (change(""), 2, "`change` has no template"),
        (change("change = ['DELETE /a/{id}']"), 2, "`undo` has no template"),
        (change(&format!("{good}irrevocable_because = 'x'")), 2, "is for the effect `irrevocable`"),
        (change(&format!("{good}countermeasure = 'heal'")), 8, "`heal` is no countermeasure"),
        (change(&format!("{good}cas = 'etag'")), 6, "no header `if-match`"),
        (change(&format!("{good}cas = 'lock'")), 8, "unknown variant `lock`"),
        (gone("change = ['DELETE /a/{id}']\nundo = ['POST /a/{id}']"), 8, "how it would be taken back"),
        (gone("change = ['DELETE /a/{id}']").replace("'x'", "' '"), 2, "say in `irrevocable_because`"),
        (write("'DELETE /a'"), 8, "needs {id}, so that only what was approved is touched"),
        (write("{ send = 'POST /a', json = { x = '{other}' } }"), 8, "needs {id}"),
        (write("'GET /a/{id}'"), 8, "a GET changes nothing"),
        (write("'DELETE /*/{id}'"), 8, "only reads have wildcards"),
        (write("'DELETE /{*}/{id}'"), 8, "any segment is `*`"),
        (write("'DELETE /a/{id}', 'DELETE /a/{id}'"), 8, "is there twice"),
        (write("'DELETE /a/{got.x}/{id}'"), 8, "a change has no `{got.…}`"),
        (
            write("{ send = 'POST /a/{id}', json = { x = '{secret}' } }"),
            8,
            "`secrets` of the function names none",
        ),
        (write("{ send = 'POST /{secret}/{id}' }"), 8, "a secret is sent in a body only"),
        (
            write("{ send = 'POST /a/{id}', headers = { x = '{secret}' } }"),
            8,
            "a secret is sent in a body only",
        ),
        (write("{ send = 'POST /a/{id}', credential = '{token}' }"), 8, "is not one of `sealed`"),
        (write("{ send = 'POST /a/{id}', credential = 'token' }"), 8, "is not a credential"),
        (write("{ send = 'POST /a/{id}', form = { x = '{null}' } }"), 8, "only JSON has `null`"),
        (write("{ send = 'POST /a/{id}', query = { x = '{n:number}' } }"), 8, "only JSON tells numbers"),
        (write("{ send = 'POST /a/{id}', json = { }, form = { } }"), 8, "`json` or `form`, not both"),
        (write("{ send = 'POST /a/{id}', body = 'x' }"), 8, "unknown field `body`"),
        (write("{ send = 'POST /a/{id}', json = { x = 1.0000000000000000001 } }"), 8, "more digits"),
        (write("{ send = 'POST /a/{id}', json = { x = 2026-01-01 } }"), 8, "a date is no JSON"),
        (read("'GET /a', 'DELETE /a/{id}'"), 7, "a DELETE is not a read"),
        (read("'GET a'"), 7, "does not begin with a slash"),
        (read("'/a'"), 7, "is not a request"),
        (read("'get /a'"), 7, "not a method"),
        (read("'TRACE /a'"), 7, "not a method"),
        (read("'GET /a?x=y'"), 7, "write the pairs into `query`"),
        (read("'GET /a#x'"), 7, "has a query in it"),
        (read("'GET //evil.example'"), 7, "is empty"),
        (read("'GET /a/../b'"), 7, "leads to another folder"),
        (read("'GET /a%2F..'"), 7, "leads to another folder"),
        (read("'GET /%2e%2e/a'"), 7, "is encoded already"),
        (read("'GET /a/**/b'"), 7, "`**` before its end"),
        (read("'GET /a*'"), 7, "has a wildcard in a segment"),
        (read("'GET /{a'"), 7, "a brace without its other"),
        (read("'GET /a}'"), 7, "a brace without its other"),
        (read("'GET /{A}'"), 7, "is not a variable"),
        (read("'GET /{undo}'"), 7, "is not a variable"),
        (read("'GET /{undo.}'"), 7, "is not a variable"),
        (read("{ send = 'GET /a', json = { } }"), 7, "a GET has no body"),
        (read("{ send = 'GET /a', query = { x = 'a{*}' } }"), 7, "`{*}` stands alone"),
        (read("{ send = 'GET /a', query = { _method = 'DELETE' } }"), 7, "could replace the method"),
        (read("{ send = 'GET /a', headers = { Host = 'x' } }"), 7, "`host` is the host's"),
        (read("{ send = 'GET /a', headers = { Cookie = 'x' } }"), 7, "`cookie` is the host's"),
        (read("{ send = 'GET /a', headers = { X-HTTP-Method-Override = 'DELETE' } }"), 7, "is the host's"),
        (read("{ send = 'GET /a', headers = { 'x y' = 'a' } }"), 7, "is not the name of a header"),
        (read("1"), 7, "expected a template"),
        (observe("secrets = ['token']"), 6, "is not a JSON pointer"),
        (observe("secrets = ['/a~2']"), 6, "is not a JSON pointer"),
        (observe("sealed = ['token']"), 6, "no template has `{token}`"),
        (observe("reads = ['GET /{token}']\nsealed = ['token']"), 6, "in a body only, or as `credential`"),
        (observe("sealed = ['id']"), 6, "not a parameter of its own"),
        (
            observe("reads = [{ send = 'POST /a', json = { x = 'a{token}' } }]\nsealed = ['token']"),
            6,
            "a sealed argument stands alone",
        ),
        (
            change(
                "change = [{ send = 'POST /a/{id}', json = { x = '{token}' } }]\nundo = [{ send = 'POST /b/{id}', json = { x = '{token}' } }]\nsealed = ['token']",
            ),
            7,
            "an undo cannot have the sealed argument `token`",
        ),
        (
            change(
                "change = [{ send = 'POST /a/{id}', json = { x = '{token}' } }]\nundo = [{ send = 'POST /b/{id}', credential = '{token}' }]\nsealed = ['token']",
            ),
            7,
            "an undo cannot have the sealed argument `token`",
        ),
        (observe("response_headers = ['set-cookie']"), 6, "no connector sees"),
        (observe("response_headers = ['www-authenticate']"), 6, "no connector sees"),
        (observe("response_headers = ['X-Total']"), 6, "in lower case"),
        (
            observe(&format!(
                "reads = [{}]",
                (0..65).map(|n| format!("'GET /{n}'")).collect::<Vec<_>>().join(",")
            )),
            2,
            "at most 64",
        ),
        (read(&format!("'GET /{}'", "a/".repeat(3000))), 7, "longer than 4096 bytes"),
    ];
    for (function, line, why) in cases {
        let text = format!("interfaces = ['a:b/c@0.1.0']\n[function.'a:b/c.f']\n{function}");
        let told = Description::parse(&text).unwrap_err().to_string();
        // The header of the table is its line.
        assert!(told.contains(why), "no `{why}` in:\n{told}\nof:\n{text}");
        assert!(told.starts_with(&format!("line {line},")), "not line {line}:\n{told}\nof:\n{text}");
    }
    let function = "effect = 'observe'\nkind = 'token'\npath = '{id}'\n";
    let checked = |check: &str| {
        format!("interfaces = ['a:b/c@0.1.0']\ncheck = {check}\n[function.'a:b/c.f']\n{function}")
    };
    for (text, line, why) in [
        (String::new(), 1, "missing field `interfaces`"),
        (checked("'POST /a'"), 2, "a POST is not a check"),
        (checked("'GET /a/*'"), 2, "no wildcard"),
        (checked("{ send = 'GET /a', credential = '{token}' }"), 2, "no credential of its own"),
        (checked("'GET /a/{id}'"), 2, "no variables but `{config.…}`"),
        (checked("{ send = 'GET /a', query = { page = '{*}' } }"), 2, "no variables but `{config.…}`"),
        ("interfaces = []".to_owned(), 1, "`interfaces` is empty"),
        ("interfaces = ['a:b/c']".to_owned(), 1, "is not an interface"),
        ("interfaces = ['a:b/c@1']".to_owned(), 1, "is not an interface"),
        ("interfaces = ['b/c@0.1.0']".to_owned(), 1, "is not an interface"),
        ("interfaces = ['a:b/c@0.1.0']".to_owned(), 1, "no function of `a:b/c` is described"),
        (
            format!("interfaces = ['a:b/c@0.1.0',\n'a:b/c@0.2.0']\n[function.'a:b/c.f']\n{function}"),
            2,
            "is there twice",
        ),
        (
            format!(
                "interfaces = ['a:b/c@0.1.0']\n[function.'a:b/c.f']\n{function}[function.'x:y/z.f']\n{function}"
            ),
            6,
            "not a function of one of",
        ),
        (
            format!(
                "interfaces = ['a:b/c@0.1.0']\n[function.'a:b/c.f']\n{function}[function.'a:b/c.f']\n{function}"
            ),
            6,
            "duplicate key",
        ),
        (format!("interfaces = ['a:b/c@0.1.0']\n[function.'a:b/c@0.1.0.f']\n{function}"), 1, "no function"),
        (
            format!("interfaces = ['a:b/c@0.1.0']\nauth = ['magic']\n[function.'a:b/c.f']\n{function}"),
            2,
            "unknown variant `magic`",
        ),
        (format!("#{}", "x".repeat(300_000)), 1, "longer than"),
    ] {
        let told = Description::parse(&text).unwrap_err().to_string();
        assert!(
            told.contains(why) && told.starts_with(&format!("line {line},")),
            "line {line}, {why}:\n{told}"
        );
    }
    assert!(Description::parse(DESCRIPTION).is_ok());
}

#[test]
fn an_entry_names_one_origin_and_one_credential() {
    let read = |text: &str| {
        let text = format!("[[connector]]\n{text}");
        Entry::read(Table::parse(&text).unwrap().entries("connector").unwrap().remove(0))
            .map_err(|e| e.to_string())
    };
    let good = "name = 'npm'\ncomponent = 'npm.wasm'\norigin = 'https://registry.example'\n";
    let entry = read(good).unwrap();
    assert_eq!((entry.timeout.as_secs(), entry.config.to_string().as_str()), (30, "{}"));
    assert!(!entry.post_reads && entry.credential.is_none() && entry.allow_private.is_empty());
    for credential in [
        "bearer_file = 'token'",
        "basic = { user = 'x', password_file = 'p' }",
        "header = { name = 'X-Vault-Token', file = 't' }",
        "header = { name = 'Authorization', prefix = 'Token ', file = 't' }",
        "oauth = { token_url = 'https://login.example/token', client_id = 'c', secret_file = 's', scope = 'a b' }",
        "github_app = { app_id = 1, installation_id = 2, key_file = 'k', repositories = ['shop'], permissions = { issues = 'write' } }",
        "aws = { region = 'eu-central-1', service = 'iam', access_key_id = 'AKIA', secret_key_file = 's' }",
    ] {
        let entry = read(&format!("{good}[connector.credential]\n{credential}")).unwrap();
        assert!(entry.credential.is_some(), "{credential}");
    }
    for (text, line, why) in [
        (good.replace("'npm'", "'a/b'"), 2, "no slash"),
        (good.replace("'npm'", "'a b'"), 2, "part of resources"),
        (good.replace("https://registry.example", "http://registry.example"), 4, "another machine"),
        (good.replace("https://registry.example", "https://u:p@registry.example"), 4, "a user or password"),
        (good.replace("https://registry.example", "https://registry.example/api"), 4, "it has a path"),
        (format!("{good}allow_private = ['10.0.0.0']"), 5, "write it like 10.0.0.0/8"),
        (format!("{good}allow_private = ['0.0.0.0/0']"), 5, "public addresses"),
        (format!("{good}timeout = '1h'"), 5, "at most 5m"),
        (format!("{good}timeout = '0s'"), 5, "over 0"),
        (format!("{good}config = {{ x = 2026-01-01 }}"), 5, "a date is no JSON"),
        (format!("{good}config = {{ x = 9007199254740993 }}"), 5, "cannot be signed exactly"),
        (format!("{good}token = 'x'"), 5, "a connector has no key `token`"),
        (
            format!(
                "{good}credential = {{ bearer_file = 'a', basic = {{ user = 'x', password_file = 'p' }} }}"
            ),
            5,
            "exactly 1",
        ),
        (format!("{good}credential = {{ magic = 'a' }}"), 5, "unknown variant `magic`"),
        (
            format!("{good}credential = {{ header = {{ name = 'Host', file = 'a' }} }}"),
            5,
            "carries no credential",
        ),
        (
            format!("{good}credential = {{ header = {{ name = 'a b', file = 'a' }} }}"),
            5,
            "not the name of a header",
        ),
        (
            format!(
                "{good}credential = {{ oauth = {{ token_url = 'http://login.example', client_id = 'c', secret_file = 's' }} }}"
            ),
            5,
            "another machine",
        ),
        (
            format!(
                "{good}credential = {{ aws = {{ region = 'r', service = 's3', access_key_id = 'c', secret_key_file = 's' }} }}"
            ),
            5,
            "not supported",
        ),
    ] {
        let told = read(&text).unwrap_err();
        assert!(
            told.contains(why) && told.starts_with(&format!("line {line},")),
            "line {line}, {why}:\n{told}\nof:\n{text}"
        );
    }
}
