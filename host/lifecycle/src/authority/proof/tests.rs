use remit_journal::{ActionRef, Authority, GrantRef, Mode, Outcome, RequestId, SignedRef};
use remit_trust::{SigningKey, canonical};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::Input;
use crate::authority::{ActionSelector, Document};

const RULES: &str = r#"
    [limits]
    changes = 2
    [[allow]]
    capability = "remit:secrets/inspect"
    resources = ["secret:prod/*"]
    [[allow]]
    capability = "remit:secrets/rotate"
    resources = ["secret:prod/*"]
    [[allow]]
    capability = "remit:secrets/reveal"
    resources = ["secret:prod/*"]
    disclose = true
"#;
const INSPECT: (&str, Effect) = ("remit:secrets/inspect.metadata", Effect::Observe);
const ROTATE: (&str, Effect) = ("remit:secrets/rotate.rotate", Effect::Change);
const REVEAL: (&str, Effect) = ("remit:secrets/reveal.reveal", Effect::Disclose);
const CLOCK: (&str, Effect) = ("wasi:clocks/wall-clock.now", Effect::Observe);

fn at(text: &str) -> Timestamp {
    format!("2026-11-23T{text}Z").parse().unwrap()
}

/// Stands for the digest of the case's own request, which is known when it is signed.
fn this() -> Digest {
    Digest::of(b"the request of the case")
}

fn other() -> Digest {
    Digest::of(b"another")
}

fn step(phase: Phase, (operation, effect): (&str, Effect), resource: &str) -> Step {
    Step {
        phase,
        operation: operation.to_owned(),
        effect,
        content: false,
        resource: Resource::try_from(resource.to_owned()).unwrap(),
        arguments: json!({}),
        before: None,
        undo: None,
        irrevocable_because: None,
        caution: None,
    }
}

fn intent(call: u64, (operation, effect): (&str, Effect), resource: &str) -> Intent {
    Intent {
        call,
        operation: operation.to_owned(),
        effect,
        resource: resource.to_owned(),
        arguments: to_raw_value(&json!({})).unwrap(),
        before: matches!(effect, Effect::Change | Effect::Irrevocable)
            .then(|| to_raw_value(&json!({"previous": 1})).unwrap()),
        sealed: None,
        irrevocable_because: None,
    }
}

fn call(call: u64, what: (&str, Effect), resource: &str) -> Event {
    intent(call, what, resource).into()
}

/// A change that failed before the host had its prior state.
fn unprepared(call: u64, what: (&str, Effect), resource: &str) -> Event {
    Intent { before: None, ..intent(call, what, resource) }.into()
}

fn failed(call: u64) -> Event {
    let failure = to_raw_value(&json!({"kind": "not-found"})).unwrap();
    Outcome { call, result: CallResult::Failed { failure }, sent: None }.into()
}

fn done(call: u64) -> Event {
    Outcome { call, result: CallResult::Ok { value: to_raw_value(&json!({})).unwrap() }, sent: None }.into()
}

fn sign<D: Document>(document: &D, key: &SigningKey) -> (Box<RawValue>, Digest) {
    let payload = canonical(document).unwrap();
    let envelope = Envelope::sign(D::TYPE, &payload, key).unwrap();
    (to_raw_value(&envelope).unwrap(), Digest::of(&payload))
}

/// A run and what was asked, approved and started, before anybody signs.
#[derive(Clone)]
struct Case {
    request: Request,
    approval: Approval,
    /// Whether the approver signs the approval; otherwise somebody else does.
    by_approver: bool,
    trigger: Trigger,
    started: Started,
    scope: Option<Scope>,
    scope_digest: Option<Digest>,
    at: Timestamp,
    /// The validity on record, if it is not that of the request.
    validity: Option<(Timestamp, Timestamp)>,
    events: Vec<Event>,
}

impl Case {
    /// A run that follows a plan of four steps, with a look that is in no plan before them.
    fn planned() -> Self {
        let plan = Plan {
            steps: vec![
                step(Phase::Run, INSPECT, "secret:prod/a"),
                step(Phase::Run, REVEAL, "secret:prod/a"),
                step(Phase::Run, ROTATE, "secret:prod/a"),
                step(Phase::Run, ROTATE, "secret:prod/b"),
                step(Phase::Verify, REVEAL, "secret:prod/b"),
            ],
        };
        let input = json!({"path": "prod/a"});
        let events = vec![
            call(1, CLOCK, "run:this"),
            done(1),
            call(2, INSPECT, "secret:prod/other"),
            call(3, REVEAL, "secret:prod/a"),
            done(3),
            call(4, ROTATE, "secret:prod/a"),
            done(4),
            call(5, ROTATE, "secret:prod/b"),
            Phase::Verify.into(),
            call(6, REVEAL, "secret:prod/b"),
            done(6),
        ];
        Self::new(&input, events, |action| RequestedAuthority::Run {
            action,
            input: input.clone(),
            plan: Some(plan),
        })
    }

    /// The same run, under a standing scope.
    fn standing() -> Self {
        let input = json!({"path": "prod/a"});
        Self::new(&input, Self::planned().events, |action| {
            RequestedAuthority::Standing(StandingScope {
                action: ActionSelector::Digest(action),
                hours: vec!["tue 08:00-09:00".parse().unwrap(), "mon 08:00-09:00".parse().unwrap()],
                runs_per_hour: 1,
                changes_per_hour: 2,
            })
        })
    }

    fn new(
        input: &serde_json::Value,
        events: Vec<Event>,
        asks: impl FnOnce(ActionRef) -> RequestedAuthority,
    ) -> Self {
        let (id, run, log) = (RequestId::new(), RunId::new(), "test.example/journal".to_owned());
        let digest = Digest::of(b"component");
        let action = ActionRef { digest, name: "rotate".to_owned(), version: "0.1.0".to_owned() };
        let scope = Scope::parse(RULES, "scope.toml").unwrap();
        let input = Input::of(input).unwrap();
        let request = Request {
            connectors: Vec::new(),
            id,
            log: log.clone(),
            requester: "bot".to_owned(),
            asks: asks(action.clone()),
            scope: scope.clone(),
            reason: "leaked".to_owned(),
            incident: None,
            triggers: vec!["bot".to_owned()],
            not_before: at("08:00:00"),
            not_after: at("09:00:00"),
            uses: Some(1),
            rules: other(),
            break_glass: false,
        };
        let approval = Approval {
            request: this(),
            id,
            log: log.clone(),
            principal: "alice".to_owned(),
            approve: true,
            at: at("08:00:01"),
            reason: String::new(),
        };
        let trigger = Trigger {
            request: this(),
            id,
            log,
            run,
            action: digest,
            input: input.digest(),
            principal: "bot".to_owned(),
            at: at("08:30:00"),
            reason: None,
        };
        let started = Started {
            mode: Mode::Live,
            action,
            publisher: None,
            connectors: Vec::new(),
            input: to_raw_value(&json!({})).unwrap(),
            input_digest: input.digest(),
            scope_digest: other(),
            scope: None,
            grant: None,
            principal: "bot".to_owned(),
            started_by: Some("bot".to_owned()),
            reason: "leaked".to_owned(),
            seed: [0; 32],
            host_version: "0.1.0".to_owned(),
        };
        Self {
            request,
            approval,
            by_approver: true,
            trigger,
            started,
            scope: Some(scope),
            scope_digest: None,
            at: at("08:30:00"),
            validity: None,
            events,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut case = self.clone();
        change(&mut case);
        case
    }

    /// Everybody signs, and the records are made.
    fn proven(mut self, approver: &SigningKey) -> Proven {
        let somebody = SigningKey::generate().unwrap();
        let (envelope, digest) = sign(&self.request, &somebody);
        for named in [&mut self.approval.request, &mut self.trigger.request] {
            if *named == this() {
                *named = digest;
            }
        }
        let (approval, _) = sign(&self.approval, if self.by_approver { approver } else { &somebody });
        let (trigger, _) = sign(&self.trigger, &somebody);
        let (not_before, not_after) =
            self.validity.unwrap_or((self.request.not_before, self.request.not_after));
        self.started.grant = Some(GrantRef {
            digest,
            uses: 1,
            signed: Some(SignedRef { envelope, not_before, not_after }),
            authority: Some(Authority {
                request: self.request.id,
                approvals: vec![approval],
                trigger,
                break_glass: false,
                rests_on: Vec::new(),
            }),
        });
        let scope = self.scope.as_ref();
        self.started.scope = scope.map(|scope| to_raw_value(scope).unwrap());
        if let Some(scope) = scope {
            self.started.scope_digest = self.scope_digest.unwrap_or(scope.digest().unwrap());
        }
        let run = self.trigger.run;
        let first = Record { run, at: self.at, event: self.started.into() };
        let others = self.events.into_iter().map(|event| Record { run, at: self.at, event });
        let records: Vec<_> = (1..).zip(std::iter::once(first).chain(others)).collect();
        let (size, count) = (records.len() as u64, records.len() as u64);
        Proven::Run { run, log: self.request.log, size, count, state: None, records }
    }
}

/// Each change of a good run, with the words of its refusal; empty if it is as good.
#[track_caller]
fn all(good: &Case, changes: &[(&str, &dyn Fn(&mut Case))]) {
    let folder = tempfile::tempdir().unwrap();
    let approver = SigningKey::generate().unwrap();
    let (_, public) = approver.write_pair(&folder.path().join("alice")).unwrap();
    let check = |case: Case| check_authority(&case.proven(&approver), &public);
    check(good.clone()).unwrap();
    for (number, (why, change)) in changes.iter().enumerate() {
        let told = check(good.with(change)).map_or_else(|error| error.to_string(), |()| String::new());
        assert!(told.contains(why) && told.is_empty() == why.is_empty(), "{number}: {why}: {told}");
    }
}

#[test]
fn a_run_is_what_was_approved_and_started() {
    let foreign = |case: &mut Case| case.trigger.request = other();
    all(
        &Case::planned(),
        &[
            ("no approval on record is by this key", &|case| case.by_approver = false),
            ("no approval on record is by this key", &|case| case.approval.approve = false),
            ("no approval on record is by this key", &|case| case.approval.request = other()),
            // Its time: from the first moment on, and not in the last one.
            ("", &|case| case.at = at("08:00:00")),
            ("it started at another time", &|case| case.at = at("07:59:59")),
            ("", &|case| case.at = at("08:59:59")),
            ("it started at another time", &|case| case.at = at("09:00:00")),
            ("it started at another time", &|case| {
                case.validity = Some((at("08:00:00"), at("10:00:00")));
            }),
            ("its trigger is for something else", &foreign),
            ("its trigger is for something else", &|case| case.trigger.action = other()),
            ("its trigger is for something else", &|case| case.trigger.input = other()),
            ("its trigger is for something else", &|case| "eve".clone_into(&mut case.trigger.principal)),
            ("", &|case| case.started.started_by = None),
            ("its scope is not on record", &|case| case.scope = None),
            ("its scope is not the one that it names", &|case| case.scope_digest = Some(other())),
            ("it had another scope", &|case| case.scope.as_mut().unwrap().limits.changes = 3),
            // What was started is what ran, and not what was asked for.
            ("another action, or another input", &|case| {
                (case.trigger.action, case.started.action.digest) = (other(), other());
            }),
            ("another action, or another input", &|case| {
                (case.trigger.input, case.started.input_digest) = (other(), other());
            }),
        ],
    );
}

#[test]
fn a_proof_of_something_else_shows_no_authority() {
    let folder = tempfile::tempdir().unwrap();
    let approver = SigningKey::generate().unwrap();
    let (_, public) = approver.write_pair(&folder.path().join("alice")).unwrap();
    let refused = |proven: &Proven| check_authority(proven, &public).unwrap_err().to_string();
    let growth = Proven::Growth { log: "test.example/journal".to_owned(), old: 1, new: 2 };
    assert!(refused(&growth).contains("not the proof of a run"));
    let good = Case::planned().proven(&approver);
    check_authority(&good, &public).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<(u64, Record)>, &mut RunId)| {
        let Proven::Run { mut run, log, size, count, state, mut records } = good.clone() else {
            unreachable!()
        };
        change(&mut records, &mut run);
        refused(&Proven::Run { run, log, size, count, state, records })
    };
    let grant = |change: fn(&mut GrantRef)| {
        changed(&|records, _| {
            let Event::Started(started) = &mut records[0].1.event else { unreachable!() };
            change(started.grant.as_mut().unwrap());
        })
    };
    assert!(changed(&|_, run| *run = RunId::new()).contains("its trigger is for something else"));
    assert!(changed(&|records, _| drop(records.remove(0))).contains("its first record is missing"));
    assert!(changed(&|records, _| records.clear()).contains("its first record is missing"));
    let none = changed(&|records, _| {
        let Event::Started(started) = &mut records[0].1.event else { unreachable!() };
        started.grant = None;
    });
    assert!(none.contains("no authority on record"), "{none}");
    assert!(grant(|grant| grant.signed = None).contains("no approvals on record"));
    assert!(grant(|grant| grant.authority = None).contains("no approvals on record"));
    // The request is another than the one that was approved.
    let told = grant(|grant| {
        let trigger = grant.authority.as_ref().unwrap().trigger.clone();
        grant.signed.as_mut().unwrap().envelope = trigger;
    });
    assert!(told.contains("does not have its recorded digest"), "{told}");
}

#[test]
fn a_run_made_the_calls_of_its_plan_and_no_others() {
    let not_next = "is not the next step of its plan";
    all(
        &Case::planned(),
        &[
            // It may have ended early, and it may not have left a step out.
            ("", &|case| case.events.truncate(6)),
            ("", &|case| case.events.clear()),
            (not_next, &|case| drop(case.events.remove(5))),
            (not_next, &|case| case.events.swap(5, 7)),
            (not_next, &|case| case.events.push(call(7, REVEAL, "secret:prod/b"))),
            (not_next, &|case| case.events.push(call(7, REVEAL, "secret:prod/a"))),
            (not_next, &|case| case.events[7] = call(5, ROTATE, "secret:prod/c")),
            // A step belongs to its phase.
            (not_next, &|case| drop(case.events.remove(8))),
            (not_next, &|case| case.events.swap(7, 8)),
            // A look is no step.
            ("", &|case| case.events.push(call(7, INSPECT, "secret:prod/a"))),
            // A change that failed before the host had its prior state is no step either, and none of the changes.
            ("", &|case| case.events.insert(5, unprepared(9, ROTATE, "secret:prod/z"))),
            ("", &|case| {
                case.events.insert(5, unprepared(9, (ROTATE.0, Effect::Irrevocable), "secret:prod/z"));
            }),
            // A disclosure that failed may have been a step, or none.
            ("", &|case| case.events[4] = failed(3)),
            ("", &|case| case.events.extend([call(7, REVEAL, "secret:prod/z"), failed(7)])),
            (not_next, &|case| case.events.extend([call(7, REVEAL, "secret:prod/z"), failed(6)])),
            (not_next, &|case| {
                case.events.extend([call(7, REVEAL, "secret:prod/z"), done(7)]);
            }),
        ],
    );
    // Without a plan its scope is all that binds it.
    let open = Case::planned().with(|case| {
        if let RequestedAuthority::Run { plan, .. } = &mut case.request.asks {
            *plan = None;
        }
    });
    all(&open, &[("", &|case| case.events.swap(5, 7)), ("", &|case| drop(case.events.remove(5)))]);
}

#[test]
fn a_run_stayed_inside_its_scope() {
    let outside = "no resource pattern";
    let open = Case::planned().with(|case| {
        if let RequestedAuthority::Run { plan, .. } = &mut case.request.asks {
            *plan = None;
        }
    });
    all(
        &open,
        &[
            (outside, &|case| case.events.push(call(7, INSPECT, "secret:dev/a"))),
            (outside, &|case| case.events[5] = call(4, ROTATE, "secret:dev/a")),
            (outside, &|case| case.events.push(unprepared(7, ROTATE, "secret:dev/a"))),
            // What only looks at its own run is known by the operation, not by what the record says that it did.
            ("remit:", &|case| {
                case.events[0] = call(1, ("remit:tickets/read.read", Effect::Observe), "run:this");
            }),
            ("call 1", &|case| case.events[0] = call(1, (CLOCK.0, Effect::Change), "run:this")),
            ("call 9: it cannot be taken back", &|case| {
                case.events.push(call(9, (ROTATE.0, Effect::Irrevocable), "secret:prod/a"));
            }),
            // What came to nothing did not have to be accepted.
            ("", &|case| {
                case.events.push(unprepared(9, (ROTATE.0, Effect::Irrevocable), "secret:prod/a"));
            }),
            ("call 9: it hands out secret material", &|case| {
                case.events.push(call(9, (INSPECT.0, Effect::Disclose), "secret:prod/a"));
            }),
            ("", &|case| {
                case.events.extend([call(9, (INSPECT.0, Effect::Disclose), "secret:prod/a"), failed(9)]);
            }),
            ("is not", &|case| case.events[2] = call(2, INSPECT, "no resource")),
            ("it made 3 changes, its scope allows 2", &|case| {
                case.events.push(call(7, ROTATE, "secret:prod/c"));
            }),
            ("", &|case| case.events.push(unprepared(7, ROTATE, "secret:prod/c"))),
            ("", &|case| case.events.push(call(7, REVEAL, "secret:prod/c"))),
        ],
    );
}

#[test]
fn a_run_under_a_standing_scope_stayed_inside_it() {
    fn standing(case: &mut Case) -> &mut StandingScope {
        let RequestedAuthority::Standing(standing) = &mut case.request.asks else { unreachable!() };
        standing
    }
    let fewer = |case: &mut Case| case.scope.as_mut().unwrap().limits.changes = 1;
    all(
        &Case::standing(),
        &[
            // It has no plan, and may have been about any input.
            ("", &|case| case.events.swap(5, 7)),
            ("", &|case| (case.trigger.input, case.started.input_digest) = (other(), other())),
            ("it is for rotate 0.1.0", &|case| {
                (case.trigger.action, case.started.action.digest) = (other(), other());
            }),
            ("outside the hours", &|case| {
                standing(case).hours.pop();
            }),
            ("", &|case| standing(case).hours.clear()),
            // As many changes as its own plan had, and no more than were approved for one run.
            ("", &|case| {
                fewer(case);
                case.events.remove(7);
            }),
            ("it made 2 changes", &fewer),
            ("it had another scope, or more changes", &|case| {
                case.scope.as_mut().unwrap().limits.changes = 3;
            }),
            ("it had another scope, or more changes", &|case| {
                case.scope.as_mut().unwrap().limits.fuel += 1;
            }),
            ("over the hourly budget", &|case| standing(case).changes_per_hour = 1),
            ("", &|case| standing(case).changes_per_hour = 3),
            ("over the hourly budget", &|case| standing(case).runs_per_hour = 0),
            ("", &|case| standing(case).runs_per_hour = 2),
        ],
    );
}
