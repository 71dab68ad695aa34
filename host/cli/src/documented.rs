//! Every command line of `remit` that the documentation shows is one that this program takes: an option that is not there, or that has
//! another name by now, is found here. What the commands of a job do is shown by `tests/identity.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

use crate::{Cli, without_empty};
use clap::CommandFactory as _;

/// What stands for whatever a shell, or a platform of CI, puts in.
const VALUE: &str = "req-01jd2m4k9x8s7t6v5w4y3z2a1b";

/// A shell's script, read as far as its commands are concerned.
struct Shell<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    found: Vec<Vec<String>>,
}

impl Shell<'_> {
    /// The commands of a script, each in its words.
    fn commands(script: &str) -> Vec<Vec<String>> {
        let mut script = script.replace("\\\n", " ");
        // Expressions of GitHub: they are put in before a shell sees the script.
        while let Some((before, (_, after))) =
            script.split_once("${{").and_then(|(b, rest)| Some((b, rest.split_once("}}")?)))
        {
            script = format!("{before}{VALUE}{after}");
        }
        let mut shell = Shell { rest: script.chars().peekable(), found: Vec::new() };
        shell.read(false);
        shell.found
    }

    /// Reads up to the end, or to that of a command within a word.
    fn read(&mut self, within: bool) {
        let (mut words, mut word, mut quoted): (Vec<String>, Option<String>, bool) =
            (Vec::new(), None, false);
        while let Some(c) = self.rest.next() {
            match c {
                '\'' if !quoted => {
                    let text: String = self.rest.by_ref().take_while(|c| *c != '\'').collect();
                    word.get_or_insert_default().push_str(&text);
                }
                '"' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                '$' => {
                    if self.rest.next_if_eq(&'(').is_some() {
                        self.read(true);
                    }
                    while self.rest.next_if(|c| c.is_alphanumeric() || *c == '_').is_some() {}
                    word.get_or_insert_default().push_str(VALUE);
                }
                '#' if !quoted && word.is_none() => while self.rest.next_if(|c| *c != '\n').is_some() {},
                ')' if within && !quoted => break,
                '|' | ';' | '&' | '<' | '>' | '\n' if !quoted => {
                    words.extend(word.take());
                    self.found.push(std::mem::take(&mut words));
                }
                c if c.is_whitespace() && !quoted => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        self.found.push(words);
    }
}

/// The texts under these names, however deep they are.
fn texts(yaml: &Yaml, names: &[&str], found: &mut Vec<String>) {
    let all = |yaml: &Yaml, found: &mut Vec<String>| match yaml {
        Yaml::String(text) => found.push(text.clone()),
        Yaml::Array(items) => found.extend(items.iter().filter_map(|item| item.as_str().map(str::to_owned))),
        other => panic!("{other:?}"),
    };
    match yaml {
        Yaml::Array(items) => items.iter().for_each(|item| texts(item, names, found)),
        Yaml::Hash(members) => {
            for (name, value) in members {
                if name.as_str().is_some_and(|name| names.contains(&name)) {
                    all(value, found);
                } else {
                    texts(value, names, found);
                }
            }
        }
        _ => {}
    }
}

/// What is between these fences of a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Why this program does not take a command; none if it does.
fn refusal(words: &[String]) -> Option<String> {
    // Options that are read from a file, or of which a shell would have made another word, are no matter of their form.
    let read = without_empty(Cli::command()).try_get_matches_from(words);
    read.err().filter(clap::Error::use_stderr).map(|error| format!("{}:\n{error}", words.join(" ")))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The command of `remit` that this is, or that it starts.
fn own(words: &[String]) -> Option<&[String]> {
    let is_own = |words: &&[String]| words.first().is_some_and(|word| word == "remit");
    let started = || words.iter().position(|word| word == "--").map(|at| &words[at + 1..]);
    Some(words).filter(is_own).or_else(|| started().filter(is_own))
}

#[track_caller]
fn all_are_taken(commands: &[Vec<String>]) -> usize {
    let own: Vec<_> = commands.iter().filter_map(|words| own(words)).collect();
    let refused: Vec<String> = own.iter().filter_map(|words| refusal(words)).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    own.len()
}

#[test]
fn the_jobs_of_the_manual_are_yaml_and_their_commands_are_taken() {
    let page = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let jobs = blocks(&page, "yaml");
    assert_eq!(jobs.len(), 4, "one of GitHub, one of GitLab, and two steps");
    for (job, at_least) in jobs.iter().zip([4, 4, 1, 2]) {
        let read = YamlLoader::load_from_str(job).unwrap_or_else(|error| panic!("{error} in:\n{job}"));
        let mut scripts = Vec::new();
        for yaml in &read {
            texts(yaml, &["run", "script", "before_script"], &mut scripts);
        }
        let commands: Vec<_> = scripts.iter().flat_map(|script| Shell::commands(script)).collect();
        let taken = all_are_taken(&commands);
        assert!(taken >= at_least, "{taken} commands of remit in:\n{job}");
    }
}

#[test]
fn a_command_that_is_none_is_found() {
    let found = |script: &str| Shell::commands(script).iter().find_map(|words| own(words).and_then(refusal));
    assert_eq!(found("remit --context prod run \"$(cat request)\" # remit nothing"), None);
    for wrong in [
        "remit --context prod run \"$(cat request)\" --jsn",
        "while status=$(remit --context prod request shw \"$request\" --json | jq -r .status); do sleep 1; done",
        "printf %s \"$value\" | remit request rotate-leaked.wasm --secret-inputs leaked=@-",
        "x=$(remit requests --context)",
    ] {
        assert!(found(wrong).is_some(), "{wrong}");
    }
}

/// The commands that somebody types, on every page.
#[test]
fn the_commands_of_the_manual_are_taken() {
    let mut pages = vec![root().join("README.md")];
    pages.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut taken = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
        for block in blocks(&fs::read_to_string(page).unwrap(), "console") {
            let block = block.replace("\\\n", " ");
            let typed = block.lines().filter_map(|l| l.strip_prefix("$ ").or_else(|| l.strip_prefix("# ")));
            taken += all_are_taken(&typed.flat_map(Shell::commands).collect::<Vec<_>>());
        }
    }
    assert!(taken > 30, "{taken}");
}
