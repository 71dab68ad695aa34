//! Scopes and paths as text: one spelling each, and errors that show where.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use jiff::SignedDuration;
use remit_gate::{Effect, Limits, OnFailure, Pattern, Phase, Plan, Resource, Scope, Step};

const FULL: &str = r#"
on_failure = "hold"

[[allow]]
capability = "remit:secrets/rotate"
resources = ["secret:prod/payments/*", "secret:staging/**"]
irrevocable = true

[[allow]]
capability = "remit:secrets/read@1.2.0"
resources = ["secret:prod/payments/stripe"]

[limits]
fuel = 5
wall_time = "1m 30s"
memory = "8 MiB"
changes = 3
"#;

fn error(text: &str) -> String {
    Scope::parse(text, "scope.toml").unwrap_err().to_string()
}

#[test]
fn only_canonical_paths_are_resources() {
    for good in ["a", "prod/payments/stripe", "A-z_0.9@x+y=z~", "...", ".a", "a..b", &"x".repeat(512)] {
        let resource = Resource::new("secret", good).unwrap();
        assert_eq!((resource.kind(), resource.path()), ("secret", good));
        let json = serde_json::to_string(&resource).unwrap();
        assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), resource);
    }
    let long = "x".repeat(513);
    for (bad, why) in [
        ("", "empty"),
        (".", "`.`"),
        ("..", "`..`"),
        ("prod/../admin", "`..`"),
        ("prod/./a", "`.`"),
        ("/prod", "empty segment"),
        ("prod/", "empty segment"),
        ("prod//a", "empty segment"),
        ("/", "empty segment"),
        ("a\0b", "not allowed"),
        ("a\nb", "not allowed"),
        ("a\x1b[31m", "not allowed"),
        ("a\x7f", "not allowed"),
        ("a b", "not allowed"),
        ("a\\b", "not allowed"),
        ("%2e%2e/a", "not allowed"),
        ("a%2fb", "not allowed"),
        ("a:b", "not allowed"),
        ("a?b", "not allowed"),
        ("a#b", "not allowed"),
        ("*", "not allowed"),
        ("prod/**", "not allowed"),
        // Cyrillic a, full-width full stops and slash, a zero-width space, a combining accent, a
        // right-to-left override, one dot leader.
        ("pr\u{43e}d/a", "outside ASCII"),
        ("\u{ff0e}\u{ff0e}/a", "outside ASCII"),
        ("a\u{ff0f}b", "outside ASCII"),
        ("a\u{200b}", "outside ASCII"),
        ("e\u{301}", "outside ASCII"),
        ("\u{202e}a", "outside ASCII"),
        ("\u{2024}\u{2024}", "outside ASCII"),
        (&long, "longer than 512"),
    ] {
        let refused = Resource::new("secret", bad).unwrap_err();
        assert!(refused.why().contains(why), "{bad:?}: {}", refused.why());
        let error = refused.to_string();
        assert!(error.contains(refused.why()), "{bad:?}: {error}");
        assert!(!error.contains(|c: char| c.is_control() || c == '\u{202e}' || c == '\u{200b}'), "{error:?}");
    }
    for bad in ["prod/a", ":a", "Secret:a", "secret:", "secret:../a", "secret:a:b", "se cret:a"] {
        Resource::try_from(bad.to_owned()).unwrap_err();
    }
}

#[test]
fn a_full_scope_reads_and_writes_back() {
    let scope = Scope::parse(FULL, "scope.toml").unwrap();
    assert_eq!(scope.on_failure, OnFailure::Hold);
    assert!(scope.allow[0].irrevocable && !scope.allow[0].disclose && !scope.allow[1].irrevocable);
    assert_eq!(scope.limits.wall_time, SignedDuration::from_secs(90));
    assert_eq!(scope.limits.memory.as_u64(), 8 << 20);
    // What is not written has its default, and the text with everything spelled out means the same.
    assert_eq!(scope.limits.host_calls, Limits::default().host_calls);
    let written = scope.to_toml().unwrap();
    for limit in [
        "host_calls",
        "log_bytes",
        "table_elements",
        "input",
        "output",
        "one_answer",
        "answers",
        "wall_time",
        "memory",
    ] {
        assert!(written.contains(&format!("{limit} = ")), "{written}");
    }
    let again = Scope::parse(&written, "again").unwrap();
    assert_eq!(again, scope, "{written}");
    assert_eq!(again.digest().unwrap(), scope.digest().unwrap());

    assert!(scope.covers_import("remit:secrets/rotate", "9.9.9"));
    assert!(scope.covers_import("remit:secrets/read", "1.2.0"));
    assert!(!scope.covers_import("remit:secrets/read", "1.2.1"));
    assert!(!scope.covers_import("remit:secrets/rot", "1.0.0"));
}

#[test]
fn an_empty_scope_allows_nothing_and_has_every_limit() {
    let scope = Scope::parse("", "scope.toml").unwrap();
    assert!(scope.allow.is_empty());
    assert_eq!(scope.on_failure, OnFailure::Revert);
    // These numbers are a promise: README and manual name them.
    let limits = scope.limits;
    assert_eq!((limits.fuel, limits.host_calls, limits.changes), (1_000_000_000, 1_000, 1));
    assert_eq!((limits.memory.as_u64(), limits.table_elements), (64 << 20, 100_000));
    assert_eq!(limits.wall_time, SignedDuration::from_secs(30));
    assert_eq!((limits.one_answer.as_u64(), limits.answers.as_u64()), (8 << 20, 16 << 20));
    for bytes in [limits.log_bytes, limits.input, limits.output] {
        assert_eq!(bytes.as_u64(), 64 << 10);
    }
}

#[test]
fn malformed_scopes_show_line_and_caret() {
    for (text, line, words) in [
        ("\n[limits]\nfule = 3\n", 3, "unknown field `fule`"),
        ("on_failure = 'hold'\nalow = []\n", 2, "unknown field `alow`"),
        (
            "[[allow]]\ncapability = 'a:b/c'\nresources = ['k:x']\nirevocable = true",
            4,
            "unknown field `irevocable`",
        ),
        ("on_failure = 'retry'", 1, "unknown variant `retry`"),
        ("[limits]\nfuel = -1", 2, "invalid value"),
        ("[limits]\nmemory = 'lots'", 2, ""),
        ("[limits]\nwall_time = 'soon'", 2, ""),
        ("[[allow]]\ncapability = 'a:b/c'\nresources = ['k:x', 'k:../y']", 3, "canonical resource"),
        ("[[allow]]\ncapability = 'a:b/c'\nresources = ['k:pro*']", 3, "canonical resource"),
        ("[[allow]]\nresources = ['k:x']", 1, "missing field `capability`"),
        ("[limits\nfuel = 1", 1, ""),
        ("[limits]\nfuel = 1\nfuel = 2", 3, "duplicate key"),
    ] {
        let shown = error(text);
        assert!(shown.starts_with("scope.toml is not a scope:"), "{shown}");
        assert!(shown.contains(&format!("line {line}, column")), "{text}\n{shown}");
        assert!(
            shown.lines().any(|l| l.trim_start().trim_start_matches('|').trim().starts_with('^')),
            "{shown}"
        );
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn values_that_make_no_sense_are_named() {
    let allow = |capability: &str, resources: &str| {
        error(&format!("[[allow]]\ncapability = '{capability}'\nresources = {resources}\n"))
    };
    for name in
        ["rotate", "remit:secrets", "", "*", "remit:secrets/*", "remit:*/rotate", "remit:secrets/rotate@"]
    {
        assert!(allow(name, "['k:x']").contains("is not an interface name"), "{name}");
    }
    assert!(allow("remit:secrets/rotate", "[]").contains("no resources"));
    for time in ["0s", "-5s", "1h 1s"] {
        assert!(error(&format!("[limits]\nwall_time = '{time}'")).contains("limits.wall_time"), "{time}");
    }
    Scope::parse("[limits]\nwall_time = '1h'", "").unwrap();
    for (text, named) in [
        ("restore_after = '0s'", "restore_after"),
        ("restore_after = '-1h'", "restore_after"),
        ("restore_after = '31d'", "restore_after"),
        ("page_after = '500ms'", "page_after"),
        ("page_after = '2h'\nrestore_after = '2h'", "page_after must be shorter"),
    ] {
        assert!(error(text).contains(named), "{text}");
    }
    for good in ["restore_after = '1s'", "restore_after = '30d'", "page_after = '1s'\nrestore_after = '2s'"] {
        Scope::parse(good, "").unwrap_or_else(|why| panic!("{good}: {why}"));
    }
}

/// Whoever lets somebody rehearse says how many times the defaults it may cost.
#[test]
fn a_limit_that_is_beyond_what_somebody_allows() {
    let beyond = |limits: &str, times: u32| {
        let scope = Scope::parse(&format!("[limits]\n{limits}"), "").unwrap();
        scope.limits.beyond(times).map(|found| (found.limit, found.value, found.most))
    };
    let of = |limit, value: &str, most: &str| Some((limit, value.to_owned(), most.to_owned()));
    assert_eq!(Limits::default().beyond(1), None);
    for (at_most, more, found) in [
        ("fuel = 2_000_000_000", "fuel = 2_000_000_001", of("fuel", "2000000001", "2000000000")),
        ("wall_time = '1m'", "wall_time = '61s'", of("wall_time", "1m 1s", "1m")),
        ("memory = '128 MiB'", "memory = '129 MiB'", of("memory", "129.0 MiB", "128.0 MiB")),
        ("table_elements = 200_000", "table_elements = 200_001", of("table_elements", "200001", "200000")),
        ("host_calls = 2_000", "host_calls = 2_001", of("host_calls", "2001", "2000")),
        ("log_bytes = '128 KiB'", "log_bytes = '129 KiB'", of("log_bytes", "129.0 KiB", "128.0 KiB")),
        ("input = '128 KiB'", "input = '129 KiB'", of("input", "129.0 KiB", "128.0 KiB")),
        ("output = '128 KiB'", "output = '129 KiB'", of("output", "129.0 KiB", "128.0 KiB")),
        ("one_answer = '16 MiB'", "one_answer = '17 MiB'", of("one_answer", "17.0 MiB", "16.0 MiB")),
        ("answers = '32 MiB'", "answers = '33 MiB'", of("answers", "33.0 MiB", "32.0 MiB")),
    ] {
        assert_eq!((beyond(at_most, 2), beyond(more, 2)), (None, found), "{more}");
        assert!(beyond(at_most, 1).is_some(), "{at_most}");
        assert_eq!(beyond(more, u32::MAX), None, "{more}");
    }
    // What people approve is not compared.
    assert_eq!(beyond("changes = 1_000_000", 1), None);
    assert_eq!(beyond("fuel = 2_000_000_001\nhost_calls = 2_001", 2).unwrap().0, "fuel");
}

#[test]
fn what_becomes_of_a_run_s_changes_is_told_in_order() {
    let fate = |text: &str| {
        let terms = Scope::parse(text, "").unwrap().terms();
        terms.into_iter().map(|(when, what)| format!("{when}: {what}")).collect::<Vec<_>>()
    };
    assert_eq!(fate(""), ["if it fails: its changes are undone at once"]);
    assert_eq!(
        fate("on_failure = 'hold'\npage_after = '1h'\nrestore_after = '2h 30m'"),
        [
            "if it fails: its changes stay, and a person decides",
            "then: people are called 1h after its end, if its changes stand",
            "then: its changes are undone 2h 30m after its end, unless a person extends the time"
        ]
    );
}

#[test]
fn what_stands_for_a_while_is_in_the_scope_and_in_its_digest() {
    let plain = Scope::parse("", "").unwrap();
    let timed = Scope::parse("page_after = '1h'\nrestore_after = '2h 30m'", "").unwrap();
    assert_eq!(timed.restore_after, Some(SignedDuration::from_mins(150)));
    assert_ne!(plain.digest().unwrap(), timed.digest().unwrap());
    let text = timed.to_toml().unwrap();
    assert_eq!(Scope::parse(&text, "").unwrap(), timed, "{text}");
    // A scope without it looks as it always did.
    assert!(!plain.to_toml().unwrap().contains("after"));
    let json = serde_json::to_value(&timed).unwrap();
    assert_eq!(json["restore_after"], "2h 30m");
    assert_eq!(serde_json::from_value::<Scope>(json).unwrap(), timed);
    // One that is part of a document is held to the same.
    let long = serde_json::json!({"limits": {"wall_time": "2h"}});
    assert!(serde_json::from_value::<Scope>(long).unwrap().check("").is_err());
}

#[test]
fn the_digest_is_of_the_meaning() {
    let digest = |text: &str| Scope::parse(text, "").unwrap().digest().unwrap();
    let base = digest(FULL);
    assert_eq!(digest(&FULL.replace("1m 30s", "90s").replace("8 MiB", "8192 KiB")), base);
    assert_eq!(digest(&format!("# a comment\n{FULL}host_calls = 1000\n")), base);
    for (from, to) in [
        ("hold", "revert"),
        ("payments/*", "payments/**"),
        ("irrevocable = true", ""),
        ("@1.2.0", ""),
        ("fuel = 5", "fuel = 6"),
        ("1m 30s", "1m 31s"),
    ] {
        assert_ne!(digest(&FULL.replacen(from, to, 1)), base, "{from} → {to}");
    }
}

#[test]
fn the_least_scope_of_a_plan_covers_it_and_no_more() {
    let step = |operation: &str, effect, path: &str| Step {
        phase: Phase::Run,
        operation: operation.to_owned(),
        effect,
        content: false,
        resource: Resource::new("secret", path).unwrap(),
        arguments: serde_json::json!({}),
        before: None,
        undo: None,
        irrevocable_because: None,
        caution: None,
    };
    let plan = Plan {
        steps: vec![
            step("remit:secrets/read.describe", Effect::Observe, "a"),
            step("remit:secrets/rotate.rotate", Effect::Change, "a"),
            step("remit:secrets/read.list", Effect::Observe, "a"),
            step("remit:secrets/read.describe", Effect::Observe, "b"),
            step("remit:secrets/rotate.destroy", Effect::Irrevocable, "b"),
            step("remit:secrets/reveal.get", Effect::Disclose, "c"),
        ],
    };
    let scope = plan.least_scope();
    let rows: Vec<_> = scope
        .allow
        .iter()
        .map(|a| {
            let resources: Vec<_> = a.resources.iter().map(Pattern::as_str).collect();
            (a.capability.as_str(), resources.join(" "), a.irrevocable, a.disclose)
        })
        .collect();
    let row = |name: &'static str, resources: &str, irrevocable, disclose| {
        (name, resources.to_owned(), irrevocable, disclose)
    };
    assert_eq!(
        rows,
        [
            row("remit:secrets/read", "secret:a secret:b", false, false),
            row("remit:secrets/rotate", "secret:a", false, false),
            row("remit:secrets/rotate", "secret:b", true, false),
            row("remit:secrets/reveal", "secret:c", false, true),
        ]
    );
    assert_eq!(scope.limits.changes, 2);
    assert_eq!(Scope::parse(&scope.to_toml().unwrap(), "").unwrap(), scope);
}

/// A step is covered by the rule for its resource that accepts its effect, and by no other.
#[test]
fn what_a_scope_covers() {
    use Effect::{Change, Disclose, Irrevocable, Observe};
    let scope = Scope::parse(
        "[[allow]]\ncapability = 'a:b/c'\nresources = ['secret:x', 'secret:far/**']\n\
         [[allow]]\ncapability = 'a:b/c'\nresources = ['secret:gone']\nirrevocable = true\n\
         [[allow]]\ncapability = 'a:b/c'\nresources = ['secret:told']\ndisclose = true\n\
         [[allow]]\ncapability = 'a:b/other'\nresources = ['secret:elsewhere/y']\n",
        "",
    )
    .unwrap();
    let step = |path: &str, effect| Step {
        phase: Phase::Run,
        operation: "a:b/c.do".to_owned(),
        effect,
        content: false,
        resource: Resource::new("secret", path).unwrap(),
        arguments: serde_json::json!({"path": path}),
        before: None,
        undo: None,
        irrevocable_because: None,
        caution: None,
    };
    for (path, accepted) in [
        ("x", &[Observe, Change][..]),
        ("far/away", &[Observe, Change]),
        ("gone", &[Observe, Change, Irrevocable]),
        ("told", &[Observe, Change, Disclose]),
        ("elsewhere/y", &[]),
    ] {
        for effect in [Observe, Change, Irrevocable, Disclose] {
            let covered = scope.covers(&step(path, effect)).is_ok();
            assert_eq!(covered, accepted.contains(&effect), "{path} {effect}");
        }
    }
    let first: Vec<&str> = scope.first_segments(&["a:b/c"]).collect();
    assert_eq!(first, ["x", "far", "gone", "told"]);
    let exact = |text: &str| Pattern::new(text).unwrap().exact().map(|resource| resource.to_string());
    assert_eq!((exact("secret:a/b"), exact("secret:a/*")), (Some("secret:a/b".to_owned()), None));
    assert_eq!(Pattern::new("secret:a/*").unwrap().to_string(), "secret:a/*");

    // What a record says was done, beside the step that allowed it.
    let planned = step("x", Change);
    let intent = |arguments: &str| remit_journal::Intent {
        call: 1,
        operation: "a:b/c.do".to_owned(),
        effect: Change,
        resource: "secret:x".to_owned(),
        arguments: serde_json::value::RawValue::from_string(arguments.to_owned()).unwrap(),
        before: None,
        sealed: None,
        irrevocable_because: None,
    };
    let same = intent(r#"{"path":"x"}"#);
    assert!(planned.is_of(Phase::Run, &same, &[]));
    assert!(!planned.is_of(Phase::Verify, &same, &[]), "in another phase");
    assert!(!planned.is_of(Phase::Run, &intent(r#"{"path":"y"}"#), &[]));
    assert!(planned.is_of(Phase::Run, &intent(r#"{"path":"y"}"#), &["path"]), "known at run time only");
}
