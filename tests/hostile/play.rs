//! Plays one case and says what is wrong with what came of it.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;
use remit_gate::Scope;
use serde_json::Value;

use super::case::{Case, End, Ends, How, Meanwhile, VOLATILE};
use super::drive::{Asked, House, Ran, Started, Who};
use super::estate::{Snapshot, fresh};
use super::model::{Authority, Law, powers};
use super::script::{COMPARED, Script, TRACE};

/// What came of all cases: so that a test in which nothing ever happens is seen to be one.
#[derive(Debug, Default)]
pub struct Tally(pub BTreeMap<String, u32>);

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// The same, and says why at once to whoever wants to know (`REMIT_HOSTILE_TALK=1`).
    fn note(&mut self, what: &str, why: &str) {
        self.count(what);
        if std::env::var_os("REMIT_HOSTILE_TALK").is_some() {
            println!("{what}: {}", why.split(" | ").next().unwrap_or_default());
        }
    }

    pub fn of(&self, what: &str) -> u32 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

type Judged<T = ()> = Result<T, String>;

fn check(holds: bool, why: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(why()) }
}

/// What was said anywhere, and by which run, if it is on record for one.
struct Said {
    run: String,
    text: String,
}

fn hear(said: &mut Vec<Said>, words: impl ToString) {
    said.push(Said { run: String::new(), text: words.to_string() });
}

/// Plays a case on a home that was used before.
pub fn play(house: &mut House, law: &Law, case: &Case, tally: &mut Tally) -> Judged {
    house.restore();
    house.certify();
    house.records();
    house.log();
    house.meddled();
    let scope = Scope::parse(&case.scope, "the scope").map_err(|error| error.to_string())?;
    let mut said = Vec::new();
    let mut case = case.clone();
    let mut given = None;
    if let Some(sealed) = &case.sealed {
        let estate = house.snapshot();
        let value = sealed.is.as_ref().map_or_else(fresh, |(path, field, version)| {
            estate.secrets[path][*version - 1].fields[field].clone()
        });
        case.script.token = Some(house.seal(sealed.by, &value)?);
        given = Some(value);
    }
    let done = go(house, law, &case, (&scope, given), tally, &mut said);
    house.meddle_at(None);
    house.wait_at(None);
    done
}

/// Somebody does something. Whoever has a key that ends is judged by that.
fn act<T>(
    house: &House,
    who: Who,
    act: impl FnOnce() -> Result<T, String>,
    tally: &mut Tally,
) -> Judged<Result<T, String>> {
    let began = jiff::Timestamp::now();
    let answer = act();
    if let Some(ends) = house.ends(who) {
        ends.judge(began, &answer).map_err(|why| format!("{}: {why}", who.name()))?;
        if answer.as_ref().is_err_and(|why| why.contains("'s until")) {
            tally.count("refused, as its key had ended");
        }
    }
    Ok(answer)
}

/// The imp's key ends before this, if it is to.
fn end(house: &mut House, ends: Option<Ends>, before: End) {
    let Some(Ends { again, .. }) = ends.filter(|ends| ends.before == before) else { return };
    let left = house.ends(Who::Imp).map(|ends| ends.left());
    std::thread::sleep(left.unwrap_or_default());
    if again {
        house.certify();
    }
}

fn go(
    house: &mut House,
    law: &Law,
    case: &Case,
    (scope, given): (&Scope, Option<String>),
    tally: &mut Tally,
    said: &mut Vec<Said>,
) -> Judged {
    let before = house.snapshot();
    let same = |house: &House, after: &str| {
        let now = house.snapshot();
        check(now == before, || format!("{after} changed something:\n{}", before.differences(&now)))
    };
    if let Some((who, within)) = case.rehearse {
        let rehearsed = house.rehearse(who, &case.script, within.then_some(scope));
        tally.count(if rehearsed.is_ok() { "rehearsed" } else { "not rehearsed" });
        match rehearsed {
            Ok(plan) => hear(said, plan),
            Err(why) => hear(said, why),
        }
        same(house, "a rehearsal")?;
    }
    let nobody = Authority {
        law: *law,
        asked_by: case.asks,
        starter: case.starts,
        starters: Vec::new(),
        people: 0,
        plan: Some(Vec::new()),
        scope: Value::Null,
        sealed: None,
        given,
    };
    // Some people look at files when they rehearse.
    let readers: Vec<Who> = case.rehearse.iter().map(|(who, _)| *who).chain([case.asks]).collect();

    if let Some(ends) = case.ends {
        tally.count("its key is to end");
        if !matches!(ends.before, End::Call(_)) {
            house.certify_briefly();
        }
    }
    end(house, case.ends, End::Asking);
    let ask = || match case.how {
        How::Planned => house.request(case.asks, &case.script, (Some(scope), false), &case.starters),
        How::Open => house.request(case.asks, &case.script, (Some(scope), true), &case.starters),
        How::Standing => house.request_standing(case.asks, scope, &case.starters, 1),
    };
    let asked = act(house, case.asks, ask, tally)?;
    same(house, "a request")?;
    let asked = match asked {
        Ok(asked) => asked,
        Err(why) => {
            tally.note("not asked", &why);
            hear(said, why);
            listen(house, said);
            return finish(house, &nobody, &[&before], said, &readers, None);
        }
    };
    tally.count("asked");
    hear(said, &asked.request);
    end(house, case.ends, End::Approving);
    let mut people = BTreeSet::new();
    for who in &case.approve {
        match act(house, *who, || house.approve(*who, asked.id), tally)? {
            Ok(()) => {
                let starts = |software: &Who| software != who && software.person() == *who;
                let other = who.is_human() && *who != case.asks.person() && !case.starters.iter().any(starts);
                check(other, || format!("{} approved", who.name()))?;
                people.insert(*who);
            }
            Err(why) => hear(said, why),
        }
    }
    same(house, "an approval")?;

    let stopped = match &case.meanwhile {
        None => false,
        Some(Meanwhile::Rotates(secret)) => {
            house.rotate_by_hand(secret);
            false
        }
        Some(Meanwhile::Remakes(secret)) => {
            house.remake_by_hand(secret);
            false
        }
        Some(Meanwhile::Edits(file)) => {
            house.edit_by_hand(file);
            false
        }
        Some(Meanwhile::RotatesAt(call, secret)) => {
            house.meddle_at(Some((*call, secret.clone(), false)));
            false
        }
        Some(Meanwhile::RemakesAt(call, secret)) => {
            house.meddle_at(Some((*call, secret.clone(), true)));
            false
        }
        Some(Meanwhile::Revokes) => house.revoke(Who::Carol, asked.id).is_ok(),
        Some(Meanwhile::Freezes) => {
            house.freeze(true);
            true
        }
    };
    let mut made_since = house.meddled();
    let mut start = house.snapshot();
    end(house, case.ends, End::Starting);
    if let Some(Ends { before: End::Call(call), .. }) = case.ends {
        let ends = house.certify_briefly();
        house.wait_at(Some((call, ends)));
        house.waited();
    }
    let start_it = || match case.how {
        How::Standing => house.start_standing(case.starts, asked.id, &case.script),
        _ => house.start(case.starts, asked.id),
    };
    let started = act(house, case.starts, start_it, tally)?;
    house.meddle_at(None);
    house.wait_at(None);
    let ended = house.waited();
    let theirs = house.meddled();
    made_since.extend(theirs.iter().cloned());
    if case.meanwhile == Some(Meanwhile::Freezes) {
        house.freeze(false);
    }
    let mut after = house.snapshot();
    listen(house, said);
    if case.how == How::Planned {
        nobody_was_told(&made_since, &after, said)?;
    }
    check(!theirs.iter().any(|(path, _)| made_anew(case, path)) || is_theirs(case, &after), || {
        format!("a secret that somebody else had just made was changed:\n{}", start.differences(&after))
    })?;
    if let Some(Meanwhile::RemakesAt(_, path)) = &case.meanwhile
        && !theirs.is_empty()
    {
        // Of the old one nothing can be told any more, and the new one was looked at.
        start.secrets.remove(path);
        after.secrets.remove(path);
    }
    // What was approved is to change what was there when it was approved.
    if case.how == How::Planned {
        let same = match &case.meanwhile {
            // Another of its versions is as it was.
            Some(Meanwhile::Rotates(path)) => {
                start.secrets.get(path).map(Vec::len) == after.secrets.get(path).map(Vec::len)
            }
            Some(Meanwhile::Remakes(path)) => start.secrets.get(path) == after.secrets.get(path),
            Some(Meanwhile::Edits(file)) => start.files.get(file) == after.files.get(file),
            _ => true,
        };
        check(same, || {
            format!(
                "it changed what somebody else had changed since the approval:\n{}",
                start.differences(&after)
            )
        })?;
    }

    let authority = authority(law, case, &asked, people.len(), nobody.given.clone());
    let ran = match started {
        Ok(Started::Ran(ran)) => ran,
        Ok(Started::Asked(other)) => {
            tally.count("outside its standing scope");
            hear(said, &other.request);
            nobody.judge(&start, &after, &theirs, false)?;
            // It was rehearsed within what was approved.
            return finish(house, &authority, &[&before, &start, &after], said, &readers, None);
        }
        Err(why) => {
            tally.note("not started", &why);
            nobody
                .judge(&start, &after, &theirs, false)
                .map_err(|error| format!("nothing ran, and {error}"))?;
            let calm = case.meanwhile.is_none() && is_stable(&case.script);
            check(!(calm && why.contains("is void")), || {
                format!("a rehearsal and the next one differ, although nothing changed: {why}")
            })?;
            hear(said, why);
            // What it rehearses before the start is within what was approved.
            return finish(house, &authority, &[&before, &start, &after], said, &readers, None);
        }
    };
    check(!stopped, || "it ran although its authority was taken away".to_owned())?;
    hear(said, &ran.words);
    tally.count("ran");
    tally.count(format!("ran: {}", ran.state));
    let stands = match ran.state.as_str() {
        "succeeded" | "held" => true,
        "reverted" | "failed" | "refused" => false,
        "in-doubt" if !theirs.is_empty() => true,
        other => return Err(format!("its state is {other}: {}", ran.words)),
    };
    let effects = authority
        .judge(&start, &after, &theirs, stands)
        .map_err(|why| format!("it ended {}, and {why}\n  {}", ran.state, ran.words))?;
    if effects > 0 {
        tally.count("changed something");
        let over = house.ends(Who::Imp).is_some_and(|ends| ends.left().is_zero());
        if over && (case.asks == Who::Imp || case.starts == Who::Imp) {
            tally.count("changed something that a key allowed which has ended");
        }
    }
    if made(&after, authority.given.as_ref()) > made(&start, authority.given.as_ref()) {
        tally.count("put what was given sealed");
    }
    let compared = |answer: &str| {
        said.iter().any(|said| {
            said.run == ran.run.to_string() && said.text.contains(COMPARED) && said.text.contains(answer)
        })
    };
    for (answer, what) in [(" yes ", "found out that it is"), (" no ", "found out that it is not")] {
        if compared(answer) {
            tally.count(what);
        }
    }
    let mut seen = vec![&before, &start, &after];
    on_record(&authority, &ran, said)?;
    if let Some(ended) = ended {
        began_before(ended, &ran, said)?;
    }
    cannot_be_told(case, &ran, said, tally)?;
    let there_again;
    if let Some(who) = case.reverts {
        let reverted = house.revert(who, ran.run);
        let mut now = house.snapshot();
        if let Some(Meanwhile::RemakesAt(_, path)) = &case.meanwhile
            && !theirs.is_empty()
        {
            check(case.how != How::Planned || is_theirs(case, &now), || {
                format!("a revert changed a secret that somebody else had made:\n{}", after.differences(&now))
            })?;
            now.secrets.remove(path);
        }
        there_again = now;
        listen(house, said);
        match reverted {
            Ok(()) => {
                tally.count("taken back by hand");
                check(who.is_human(), || format!("{} took it back", who.name()))?;
                authority
                    .judge(&start, &there_again, &theirs, false)
                    .map_err(|why| format!("taken back by hand, and {why}"))?;
            }
            Err(why) => {
                tally.note("not taken back", &why);
                let undoable = stands && effects > 0 && theirs.is_empty() && who.is_human();
                let destroyed = destroyed(&after) > destroyed(&start);
                check(!undoable || destroyed, || format!("it could not be taken back: {why}"))?;
                check(!why.is_empty(), || "no reason was given".to_owned())?;
                check(there_again == after || destroyed || !theirs.is_empty(), || {
                    format!("the revert was refused and changed something: {why}")
                })?;
                hear(said, why);
            }
        }
        seen.push(&there_again);
    }
    if finish(house, &nobody, &seen, said, &readers, Some(&ran)).is_err() {
        // Told to somebody: then it was approved.
        finish(house, &authority, &seen, said, &readers, Some(&ran))?;
        tally.count("was told what was approved");
    }
    Ok(())
}

/// Whoever approved a plan approved to disclose what was there. What somebody else made since is told to nobody.
fn nobody_was_told(made_since: &[(String, u64)], after: &Snapshot, said: &[Said]) -> Judged {
    for (path, number) in made_since {
        let version = usize::try_from(*number).ok().and_then(|at| after.secrets.get(path)?.get(at - 1));
        for value in version.into_iter().flat_map(|version| version.fields.values()) {
            let told =
                said.iter().find(|said| memmem::find(said.text.as_bytes(), value.as_bytes()).is_some());
            check(told.is_none(), || {
                format!(
                    "version {number} of {path} was made after the approval, and is told: {}",
                    told.map_or("", |said| &said.text)
                )
            })?;
        }
    }
    Ok(())
}

fn made_anew(case: &Case, path: &str) -> bool {
    case.how == How::Planned && matches!(&case.meanwhile, Some(Meanwhile::RemakesAt(_, made)) if made == path)
}

/// Whether what somebody else made during the run is as they made it.
fn is_theirs(case: &Case, after: &Snapshot) -> bool {
    let Some(Meanwhile::RemakesAt(_, path)) = &case.meanwhile else { return true };
    after.secrets.get(path).is_some_and(|versions| versions.len() == 1 && versions[0].state == 'e')
}

/// How many versions have this value.
fn made(estate: &Snapshot, value: Option<&String>) -> usize {
    let values = estate.secrets.values().flatten().flat_map(|version| version.fields.values());
    values.filter(|found| Some(*found) == value).count()
}

fn destroyed(estate: &Snapshot) -> usize {
    estate.secrets.values().flatten().filter(|version| version.state == 'x').count()
}

fn authority(law: &Law, case: &Case, asked: &Asked, people: usize, given: Option<String>) -> Authority {
    // The input is who asks gives; ahead of need, who starts.
    let owner = if case.how == How::Standing { case.starts } else { case.asks };
    let own = case.sealed.as_ref().is_some_and(|sealed| sealed.by == owner);
    let starters = match case.starters.as_slice() {
        [] => vec![case.asks],
        named => named.to_vec(),
    };
    Authority {
        law: *law,
        asked_by: case.asks,
        starter: case.starts,
        starters: starters.iter().map(|who| who.name().to_owned()).collect(),
        people,
        plan: (case.how == How::Planned).then(|| powers(&asked.request["asks"]["run"]["plan"])),
        scope: asked.request["scope"].clone(),
        sealed: given.clone().filter(|_| own),
        given,
    }
}

/// Takes what is new on record and in the host's log.
fn listen(house: &mut House, said: &mut Vec<Said>) {
    said.extend(house.records().into_iter().map(|(run, text)| Said { run, text }));
    // A line of the host's log begins with the time; what an action writes may have more of them.
    let log = house.log();
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match entries.last_mut() {
            Some(entry) if !line.starts_with("20") => *entry = format!("{entry}\n{line}"),
            _ => entries.push(line.to_owned()),
        }
    }
    said.extend(entries.into_iter().map(|text| {
        let run = text.rsplit_once("run=run-").and_then(|(_, rest)| rest.split_whitespace().next());
        Said { run: run.map(|run| format!("run-{run}")).unwrap_or_default(), text }
    }));
}

/// What must hold whatever happened: nobody was told what nobody allowed, and every run has a state.
fn finish(
    house: &mut House,
    authority: &Authority,
    estates: &[&Snapshot],
    said: &mut Vec<Said>,
    readers: &[Who],
    ran: Option<&Ran>,
) -> Judged {
    listen(house, said);
    let live = ran.map(|ran| ran.run.to_string()).unwrap_or_default();
    // Every value, and where it is.
    let mut values: BTreeMap<&str, BTreeSet<(&str, &str, usize)>> = BTreeMap::new();
    for (path, versions) in estates.iter().flat_map(|estate| &estate.secrets) {
        for (at, version) in versions.iter().enumerate() {
            for (field, value) in &version.fields {
                values.entry(value).or_default().insert((path, field, at + 1));
            }
        }
    }
    // What was given sealed is told to nobody, wherever it is not a secret's value too.
    if let Some(given) = &authority.given {
        values.entry(given).or_default();
    }
    for Said { run, text } in said.iter() {
        for (value, places) in &values {
            if memmem::find(text.as_bytes(), value.as_bytes()).is_none() {
                continue;
            }
            let rehearsal = !run.is_empty() && *run != live;
            let may =
                |(path, field, version): &(&str, &str, usize)| authority.may_tell(path, field, *version);
            let told = places.iter().map(may).collect::<Result<Vec<_>, _>>();
            let why = match (rehearsal, places.iter().any(|place| may(place).is_ok())) {
                (false, true) => continue,
                (true, _) => "it is a rehearsal".to_owned(),
                (false, false) => told.err().unwrap_or_else(|| "it was given sealed".to_owned()),
            };
            return Err(format!("the value of {places:?} is told, though {why}:\n  {text}"));
        }
        found_out(authority, (estates, readers), (run, text), &live)?;
    }
    // The files are the same in all of them, but for what was changed.
    let tokens = estates[0].files.iter().filter_map(|(path, node)| {
        let text = String::from_utf8_lossy(node.content.as_deref()?).into_owned();
        Some((path, text.lines().find_map(|line| line.strip_prefix("token = "))?.to_owned()))
    });
    for (path, token) in tokens {
        for Said { run, text } in
            said.iter().filter(|said| memmem::find(said.text.as_bytes(), token.as_bytes()).is_some())
        {
            let may = authority.may_read(path);
            let rehearsed = (run.is_empty() || *run != live) && readers.iter().any(|who| who.is_human());
            if let Err(why) = may
                && !rehearsed
            {
                return Err(format!("the content of {path} is told, though {why}:\n  {text}"));
            }
        }
    }
    let mut ends: BTreeMap<&str, bool> = BTreeMap::new();
    for Said { run, text } in said.iter().filter(|said| said.run.starts_with("run-")) {
        if let Some((kind, _)) = event(text) {
            ends.insert(run, kind == "ended");
        }
    }
    if let Some((run, _)) = ends.iter().find(|(_, ended)| !**ended) {
        return Err(format!("{run} has no state"));
    }
    let found = house.recover();
    check(found.is_empty(), || format!("a recovery found {found:?}"))
}

/// What an action found out by comparing: nobody but who may, and it is true.
fn found_out(
    authority: &Authority,
    (estates, readers): (&[&Snapshot], &[Who]),
    (run, text): (&str, &str),
    live: &str,
) -> Judged {
    // Of the log another test's lines may be among them; what is on record is this house's.
    if !text.starts_with('{') {
        return Ok(());
    }
    for (_, line) in text.match_indices(COMPARED).map(|(at, begins)| text.split_at(at + begins.len())) {
        let [path, field, version, answer, ..] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        let Ok(version) = version.parse::<usize>() else { continue };
        let rehearsed = run != live && readers.iter().any(|who| who.rehearses_comparing(path));
        let may = authority.may_compare(path);
        check(may.is_ok() || rehearsed, || {
            format!("{path} was compared, though {}:\n  {text}", may.err().unwrap_or_default())
        })?;
        let is = |estate: &&&Snapshot| {
            let version = estate.secrets.get(path).and_then(|versions| versions.get(version - 1));
            let value = version.and_then(|version| version.fields.get(field));
            value.is_some() && (value == authority.given.as_ref()) == (answer == "yes")
        };
        // What a rehearsal would have made is in no estate.
        check(run != live || estates.iter().any(|estate| is(&estate)), || {
            format!("version {version} of {path} is said to be the sealed value: {answer}\n  {text}")
        })?;
    }
    Ok(())
}

fn event(text: &str) -> Option<(String, Value)> {
    let record: Value = serde_json::from_str(text).ok()?;
    let (kind, body) = record["event"].as_object()?.iter().next()?;
    Some((kind.clone(), body.clone()))
}

/// What the run did is on record, and it is what was approved, step by step from the first on.
fn on_record(authority: &Authority, ran: &Ran, said: &[Said]) -> Judged {
    let Some(plan) = &authority.plan else { return Ok(()) };
    let mut planned = plan.iter().peekable();
    let run = ran.run.to_string();
    let events = || said.iter().filter(|said| said.run == run).filter_map(|said| event(&said.text));
    for (kind, intent) in events() {
        let effect = intent["effect"].as_str().unwrap_or_default();
        // Of a change that could not even be prepared nothing came.
        let attempted = effect == "disclose" || !intent["before"].is_null();
        if kind != "intent" || !matches!(effect, "change" | "irrevocable" | "disclose") || !attempted {
            continue;
        }
        let is = planned.peek().is_some_and(|deed| {
            deed.operation == intent["operation"]
                && deed.resource == intent["resource"]
                && deed.arguments == intent["arguments"]
        });
        // Nor was anything told by a disclosure that failed.
        let failed = || {
            events().any(|(kind, outcome)| {
                kind == "outcome"
                    && outcome["call"] == intent["call"]
                    && outcome["result"]["failed"].is_object()
            })
        };
        if !is && effect == "disclose" && failed() {
            continue;
        }
        let expected = planned.next();
        check(is, || format!("it did {intent}\n  where {expected:?} was approved"))?;
    }
    Ok(())
}

/// A run began while the key still counted that started it: however long the rehearsal before it took.
fn began_before(ended: jiff::Timestamp, ran: &Ran, said: &[Said]) -> Judged {
    let run = ran.run.to_string();
    let started = said.iter().filter(|said| said.run == run).find_map(|said| {
        let record: Value = serde_json::from_str(&said.text).ok()?;
        record["event"]["started"].is_object().then(|| record["at"].as_str()?.parse().ok()).flatten()
    });
    let started: jiff::Timestamp = started.ok_or("its start is not on record")?;
    check(started <= ended, || format!("it began at {started}, and the key had ended at {ended}"))
}

/// The branches that a phase of each run took, in the order in which they ran.
fn traces(said: &[Said], phase: &str) -> Vec<(String, String)> {
    let mut traces = Vec::new();
    for Said { run, text } in said.iter().filter(|said| said.run.starts_with("run-")) {
        let Some((kind, intent)) = event(text) else { continue };
        if kind != "intent" || intent["operation"] != "remit:host/log.write" {
            continue;
        }
        let line = intent["arguments"]["message"].as_str().unwrap_or_default();
        if let Some(trace) = line.strip_prefix(TRACE).and_then(|line| line.strip_prefix(phase)) {
            traces.push((run.clone(), trace.to_owned()));
        }
    }
    traces
}

/// Whether a script does the same whenever it sees the same.
fn is_stable(script: &Script) -> bool {
    let text = serde_json::to_string(script).unwrap().replace("[\"{value}\",10]", "");
    !VOLATILE.iter().any(|seen| text.contains(seen))
}

/// What a script sees in the rehearsal is what it sees in the run.
fn cannot_be_told(case: &Case, ran: &Ran, said: &[Said], tally: &mut Tally) -> Judged {
    if case.how == How::Open || case.meanwhile.is_some() || !is_stable(&case.script) {
        return Ok(());
    }
    check(ran.state != "refused", || format!("it went as it was rehearsed, and was refused: {}", ran.words))?;
    let run = ran.run.to_string();
    for phase in ["run", "verify"] {
        let traces = traces(said, phase);
        let Some(live) = traces.iter().position(|(by, _)| *by == run) else { continue };
        let Some((_, rehearsed)) = traces[..live].last() else { continue };
        tally.count("compared with its rehearsal");
        check(*rehearsed == traces[live].1, || {
            format!("`{phase}` took the branches{} and, rehearsed, {rehearsed}", traces[live].1)
        })?;
    }
    Ok(())
}
