//! A second package, with an interface that is called as one of `remit:secrets`: wrappers for both, side by side in one
//! action of each language, built with the language's own tools.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fs;
use std::path::{Path, PathBuf};

use remit_author::{NewProject, Project};
use wit_parser::{Resolve, SourceMap};

use crate::{plugins, shell};

fn members() -> PathBuf {
    shell::root().join("tests/fixtures/wit/members")
}

/// The host's WIT and the second package.
fn two_packages() -> Resolve {
    let mut resolve = remit_author::host_wit();
    resolve.push_dir(members()).unwrap();
    resolve
}

fn parsed(wit: &str) -> Resolve {
    let mut resolve = remit_author::host_wit();
    let mut sources = SourceMap::default();
    sources.push_str("test.wit", wit);
    resolve.push_group(sources.parse().unwrap()).unwrap();
    resolve
}

#[test]
fn what_no_language_could_wrap_is_an_error() {
    let failure = "use remit:types/errors@0.1.0.{failure};";
    for (wit, why) in [
        ("a: func(x: char) -> result<_, failure>;", "use string"),
        ("resource r; a: func() -> result<_, failure>;", "only records and enums"),
        ("a: async func() -> result<_, failure>;", "is not a plain function"),
        ("record i { x: u8 } a: func() -> result<i, failure>;", "`i` is in i and in i"),
        ("a: func() -> u8;", "does not answer result<_, failure>"),
        ("a: func() -> result<option<list<u8>>, failure>;", "an option of an option or of a list"),
    ] {
        let wit = format!(
            "package remit:x@0.1.0;\ninterface i {{ {failure} {} }}",
            wit.replace("a: ", "/// Effect: observe.\n a: ")
        );
        let error = super::generate(&parsed(&wit)).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
    for effect in ["", "/// Effect: nothing.\n", "/// Effect: changes.\n"] {
        let wit = format!(
            "package remit:x@0.1.0;\ninterface i {{ {failure} {effect}a: func() -> result<_, failure>; }}"
        );
        let error = super::generate(&parsed(&wit)).err().unwrap().to_string();
        assert!(
            error.contains("no `Effect: ` with one of observe, disclose, change, irrevocable"),
            "{error}"
        );
    }
    // In one package a name means one thing, as its wrappers lie in one module.
    let one = |name: &str| {
        format!(
            "interface {name} {{ {failure} enum e {{ a }}\n/// Effect: observe.\na: func() -> result<e, failure>; }}"
        )
    };
    let error = super::generate(&parsed(&format!("package remit:x@0.1.0;\n{}\n{}", one("i"), one("j"))))
        .err()
        .unwrap();
    assert!(error.to_string().contains("`e` is in i and in j"), "{error}");
}

const RUST: &str = r#"
use remit::{Error, members, secrets};

fn run(_: ()) -> Result<(), Error> {
    secrets::disable("app/db", 1)?;
    members::disable("app", &["cron".to_owned()])?;
    let found = members::look_find(members::AccountState::LockedOut, false, Some(3))?;
    assert!(found.iter().all(|account| account.mail.is_none() && account.groups.is_empty()));
    let account = members::look_get("app")?;
    let (state, class) = (account.state, &account.class);
    members::change_delete("b")?;
    members::change_move("a", "b", class, "d", Some("e"), "f", state, state, true)?;
    members::change(&account, &[account.clone()], Some(&account), Some(state)).map(drop)
}

fn verify(_: (), _: ()) -> Result<(), Error> { Ok(()) }

remit::action!(run, verify);
"#;

const C: &str = r#"
#include "remit.h"

remit_error *run(const cJSON *input, cJSON *output) {
    (void)input, (void)output;
    REMIT_TRY(remit_secrets_disable("app/db", 1));
    const char *sources[] = { "cron" };
    REMIT_TRY(remit_members_disable("app", sources, 1));
    const struct remit_members_account *found;
    size_t count;
    uint32_t limit = 3;
    REMIT_TRY(remit_members_look_find(REMIT_MEMBERS_ACCOUNT_STATE_LOCKED_OUT, false, &limit, &found, &count));
    if (count && !found[0].mail && found[0].last_used && found[0].groups_count) return remit_fail("%s", found[0].groups[0]);
    struct remit_members_account account;
    REMIT_TRY(remit_members_look_get("app", &account));
    const char *to = account.class_;
    REMIT_TRY(remit_members_change_delete("b"));
    REMIT_TRY(remit_members_change_move("a", to, "c", "d", NULL, "f", account.state, account.state, true, &to));
    return remit_members_change(&account, &account, 1, &account, &account.state, &found, &count);
}

remit_error *verify(const cJSON *input, const cJSON *output) {
    (void)input, (void)output;
    return NULL;
}
"#;

const GO: &str = r#"package main

import (
	"github.com/remit/remit/sdk/go"
	"github.com/remit/remit/sdk/go/members"
	"github.com/remit/remit/sdk/go/secrets"
)

func run(struct{}) (string, error) {
	if err := secrets.Disable("app/db", 1); err != nil {
		return "", err
	}
	if err := members.Disable("app", []string{"cron"}); err != nil {
		return "", err
	}
	limit := uint32(3)
	found, err := members.LookFind(members.AccountStateLockedOut, false, &limit)
	if err != nil || len(found) == 0 || found[0].Mail == nil {
		return "", err
	}
	account, err := members.LookGet("app")
	if err != nil {
		return "", err
	}
	if err := members.ChangeDelete("b"); err != nil {
		return "", err
	}
	moved, err := members.ChangeMove("a", account.Class, "c", "d", nil, "f", account.State, account.State, true)
	if err != nil {
		return "", err
	}
	_, err = members.Change(account, []members.Account{account}, &account, &account.State)
	return moved, err
}

func verify(struct{}, string) error { return nil }

func init() { remit.Action(run, verify) }

func main() {}
"#;

const TYPESCRIPT: &str = r#"
import { action } from "@remit/sdk";
import * as members from "@remit/sdk/members";
import * as secrets from "@remit/sdk/secrets";

export const remediation = action<{}, string[]>({
  run() {
    secrets.disable("app/db", 1);
    members.disable("app", ["cron"]);
    const found: members.Account[] = members.lookFind("locked-out", false, 3);
    const account = members.lookGet("app");
    members.changeDelete("b");
    members.changeMove("a", account.class, "c", "d", null, "f", account.state, "active", true);
    members.change(account, [account], { ...account, mail: null }, account.state);
    return account.state === "active" ? found[0].groups : [];
  },
  verify() {},
});
"#;

const PYTHON: &str = r#"
from dataclasses import dataclass

from remit import members, action, secrets


@dataclass
class Nothing:
    pass


def run(input: Nothing) -> Nothing:
    secrets.disable("app/db", 1)
    members.disable("app", ["cron"])
    found: list[members.Account] = members.look_find("locked-out", False, 3)
    assert all(account.mail is None for account in found)
    account = members.look_get("app")
    members.change_delete("b")
    members.change_move("a", account.class_, "c", "d", None, "f", account.state, "active", True)
    members.change(account, [account], account, account.state)
    return Nothing()


def verify(input: Nothing, output: Nothing) -> None:
    pass


Remediation = action(run, verify)
"#;

/// A project of a language with this source, an SDK for both packages and a world that imports both.
fn build(language: &str, file: &str, source: &str) {
    let dir = tempfile::TempDir::new().unwrap();
    let dir = dir.path().join("two-packages");
    let capabilities = vec!["secrets/disable".to_owned()];
    let new =
        NewProject { dir: dir.clone(), language: language.parse().unwrap(), capabilities, connector: false };
    remit_author::create(&new).unwrap();
    fs::write(dir.join(file), source).unwrap();
    let wit = dir.join("wit/deps/members");
    fs::create_dir_all(&wit).unwrap();
    fs::copy(members().join("members.wit"), wit.join("members.wit")).unwrap();
    let more = ["members/look", "members/disable", "members/change"];
    edit(
        &dir.join("wit/world.wit"),
        "world action {\n",
        &more.map(|name| format!("  import remit:{name}@0.1.0;\n")).concat(),
    );
    edit(
        &dir.join("action.toml"),
        "[capabilities]\n",
        &more.map(|name| format!("\"remit:{name}\" = \"a test\"\n")).concat(),
    );
    for (path, text) in super::generate(&two_packages()).unwrap() {
        let Ok(path) = path.strip_prefix(folder(language)) else { continue };
        let path = dir.join("sdk").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut project = Project::open(&dir).unwrap();
    project.environment = plugins::environment().unwrap();
    let built = remit_author::build(&project, None).unwrap_or_else(|error| panic!("{language}: {error}"));
    for import in ["secrets/disable", "members/disable", "members/look", "members/change"] {
        let import = format!("remit:{import}@0.1.0");
        assert!(built.imports.contains(&import), "{language}: {:?}", built.imports);
    }
}

fn folder(language: &str) -> &str {
    if language == "typescript" { "js" } else { language }
}

fn edit(file: &Path, after: &str, more: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(after), "{text}");
    fs::write(file, text.replace(after, &format!("{after}{more}"))).unwrap();
}

#[test]
fn rust_has_both_packages() {
    build("rust", "src/lib.rs", RUST);
}

#[test]
fn c_has_both_packages() {
    build("c", "src/action.c", C);
}

#[test]
fn go_has_both_packages() {
    build("go", "action.go", GO);
}

#[test]
fn typescript_has_both_packages() {
    build("typescript", "src/action.ts", TYPESCRIPT);
}

#[test]
fn python_has_both_packages() {
    build("python", "src/action.py", PYTHON);
}
