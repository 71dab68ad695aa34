//! An action that performs whatever script its input holds: see `tests/hostile/script.rs`.
//!
//! Whatever it is told in confidence it writes into its log at once, so that no test has to look for it.

#[allow(dead_code, missing_docs, reason = "shared with the test, which documents it")]
#[path = "../../../hostile/script.rs"]
mod script;
mod wasi;

use std::collections::BTreeMap;

use remit::secrets::VersionState;
use remit::{Error, Failure, log, secrets};
#[cfg(feature = "sealed")]
use script::COMPARED;
use script::{Output, SAW, Script, Step, TRACE, Test};

fn run(script: Script) -> Result<Output, Error> {
    let mut seen = Seen::default();
    seen.set("phase", "run");
    seen.given(&script);
    let ended = seen.perform(&script.run);
    log::info(format!("{TRACE}run {}", seen.trace));
    ended.map(|()| Output { put: seen.put, trace: seen.trace })
}

fn verify(script: Script, output: Output) -> Result<(), Error> {
    let mut seen = Seen { known: output.put, ..Seen::default() };
    seen.set("phase", "verify");
    seen.given(&script);
    let ended = seen.perform(&script.verify);
    log::info(format!("{TRACE}verify {}", seen.trace));
    ended
}

remit::action!(run, verify);

/// What the script has seen so far.
#[derive(Default)]
struct Seen {
    known: BTreeMap<String, String>,
    put: BTreeMap<String, String>,
    trace: String,
}

impl Seen {
    fn set(&mut self, name: &str, value: impl ToString) {
        self.known.insert(name.to_owned(), value.to_string());
    }

    fn given(&mut self, script: &Script) {
        if let Some(handle) = &script.token {
            self.set("token", handle);
        }
    }

    /// A text with everything it names filled in.
    fn text(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            match after.split_once('}').and_then(|(name, rest)| Some((self.known.get(name)?, rest))) {
                Some((value, after)) => {
                    filled.push_str(value);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled + rest
    }

    /// A version; nonsense is 0, which no secret has.
    fn version(&self, text: &str) -> u64 {
        self.text(text).parse().unwrap_or_default()
    }

    fn perform(&mut self, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::If(test, then, or) => {
                    let holds = self.holds(test);
                    self.trace.push(if holds { 't' } else { 'f' });
                    self.perform(if holds { then } else { or })?;
                }
                Step::Repeat(times, steps) => {
                    for _ in 0..*times {
                        self.perform(steps)?;
                    }
                }
                Step::Fail(why) => return Err(Error::new(self.text(why))),
                Step::Trap => panic!("as asked"),
                Step::Put(name, value) => {
                    let (name, value) = (self.text(name), self.text(value));
                    self.set(&name, &value);
                    self.put.insert(name, value);
                }
                step => {
                    let failure = self.call(step).err();
                    self.set("failed", if failure.is_some() { "yes" } else { "no" });
                    let (kind, words) = failure.unwrap_or_default();
                    self.set("kind", kind);
                    self.set("error", words);
                }
            }
        }
        Ok(())
    }

    fn holds(&self, test: &Test) -> bool {
        match test {
            Test::Same(one, other) => self.text(one) == self.text(other),
            Test::Has(text, part) => self.text(text).contains(&self.text(part)),
            Test::Odd(text) => self.text(text).bytes().last().is_some_and(|byte| byte % 2 == 1),
            Test::Longer(text, than) => self.text(text).len() > *than,
            Test::Failed => self.known.get("failed").is_some_and(|failed| failed == "yes"),
        }
    }

    /// One host call. Of a failure its kind and its words.
    fn call(&mut self, step: &Step) -> Result<(), (String, String)> {
        let text = |text: &String| self.text(text);
        match step {
            Step::Inspect(path) => {
                let found = secrets::inspect(&text(path)).map_err(told)?;
                self.set("current", found.current);
                let letter = |state| match state {
                    VersionState::Enabled => 'e',
                    VersionState::Disabled => 'd',
                    VersionState::Destroyed => 'x',
                };
                self.set("states", found.versions.iter().map(|v| letter(v.state)).collect::<String>());
            }
            Step::Rotate(path, field) => {
                let field = field.as_ref().map(text);
                let rotated = secrets::rotate(&text(path), field.as_deref()).map_err(told)?;
                self.set("previous", rotated.previous);
                self.set("current", rotated.current);
            }
            #[cfg(feature = "sealed")]
            Step::Store(path, field, handle) => {
                let stored = secrets::put(&text(path), &text(field), &text(handle)).map_err(told)?;
                self.set("previous", stored.previous);
                self.set("current", stored.current);
            }
            #[cfg(feature = "sealed")]
            Step::Compare(path, field, version, handle) => {
                let (path, field, version) = (text(path), text(field), self.version(version));
                let same = secrets::compare(&path, &field, version, &text(handle)).map_err(told)?;
                let same = if same { "yes" } else { "no" };
                log::info(format!("{COMPARED}{path} {field} {version} {same} "));
                self.set("same", same);
            }
            #[cfg(not(feature = "sealed"))]
            Step::Store(..) | Step::Compare(..) => panic!("only hostile-sealed does that"),
            Step::Disable(path, version) => {
                secrets::disable(&text(path), self.version(version)).map_err(told)?;
            }
            Step::Destroy(path, version) => {
                secrets::destroy(&text(path), self.version(version)).map_err(told)?;
            }
            Step::Reveal(path, field, version) => {
                let value =
                    secrets::reveal(&text(path), &text(field), self.version(version)).map_err(told)?;
                log::info(format!("{SAW}{value}"));
                self.set("value", value);
            }
            Step::Log(line) => log::warn(text(line)),
            Step::Facts => {
                let facts = remit::run::facts();
                self.set("id", facts.id);
                self.set("started", facts.started);
                self.set("reason", facts.reason);
            }
            Step::Random => self.set("random", wasi::random()),
            Step::Clock => self.set("clock", wasi::clock()),
            Step::Print(line) => wasi::print(&text(line)).map_err(failed)?,
            Step::Read(path) => {
                let content = wasi::read(&text(path)).map_err(failed)?;
                log::info(format!("{SAW}{content}"));
                self.set("content", content);
            }
            Step::Write(path, content) => {
                wasi::write(&text(path), &text(content), false).map_err(failed)?;
            }
            Step::Append(path, content) => {
                wasi::write(&text(path), &text(content), true).map_err(failed)?;
            }
            Step::List(path) => {
                let names = wasi::list(&text(path)).map_err(failed)?;
                self.set("names", names.join(" "));
            }
            Step::Stat(path) => {
                let size = wasi::size(&text(path)).map_err(failed)?;
                self.set("size", size);
            }
            Step::Remove(path) => wasi::remove(&text(path)).map_err(failed)?,
            Step::Rename(from, to) => wasi::rename(&text(from), &text(to)).map_err(failed)?,
            Step::MakeFolder(path) => wasi::make_folder(&text(path)).map_err(failed)?,
            Step::RemoveFolder(path) => wasi::remove_folder(&text(path)).map_err(failed)?,
            Step::Put(..) | Step::If(..) | Step::Repeat(..) | Step::Fail(_) | Step::Trap => {}
        }
        Ok(())
    }
}

fn told(error: Error) -> (String, String) {
    let kind = match error.failure() {
        Some(Failure::Denied(_)) => "denied",
        Some(Failure::NotFound(_)) => "not-found",
        Some(Failure::Conflict(_)) => "conflict",
        Some(Failure::Invalid(_)) => "invalid",
        Some(Failure::Unavailable(_)) => "unavailable",
        None => "other",
    };
    (kind.to_owned(), error.to_string())
}

fn failed(code: u16) -> (String, String) {
    (format!("errno-{code}"), format!("WASI error {code}"))
}
