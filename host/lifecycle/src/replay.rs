//! Replays: runs the recorded component against the recorded outcomes, to show that the journal is what happened. A replay
//! needs no system, no network, no grant and no clock, and changes nothing.

use std::sync::Arc;

use jiff::SignedDuration;
use remit_gate::{Divergence, Fault, Gate, Phase, Replay, Scope};
use remit_journal::{Ended, Event, Record, RunId, RunState, Started};
use remit_sandbox::{Call, Meter, Registry, Sandbox, Stop};
use remit_trust::Sealer;
use serde::Serialize;

use crate::changes::genuine;
use crate::error::WITHHELD;
use crate::keyring::Keyring;
use crate::own_words::{OwnWords, was_told};
use crate::plan::output;
use crate::{Error, Home, components};

/// The limit of wall time in a replay. Time does not count in it, but a guest that waits for ever must end.
const WALL_TIME: SignedDuration = SignedDuration::from_hours(24);

/// The result of a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// The identifier of the run that was replayed.
    pub run: RunId,
    /// How many host calls the action made.
    pub calls: u64,
    /// Whether the replay came to the run's own end. Otherwise the record ends earlier, because the host was stopped or the
    /// time was up, and the replay is the same until then.
    pub complete: bool,
    /// The fuel that the action used in the run and in the replay; the first is none if the host was killed.
    pub fuel: (Option<u64>, u64),
    /// The first difference; none if it is the same.
    pub divergence: Option<Divergence>,
}

/// Replays a run, live or rehearsed, up to its first end.
pub async fn replay(home: &Home, run: RunId) -> Result<Replayed, Error> {
    let refuse = |why| Err(Error::NotReplayable { run: run.to_string(), why });
    let reader = home.reader()?;
    let records = genuine(home, &reader, run)?;
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else {
        return refuse("its first record is missing");
    };
    let Some(scope) = &started.scope else {
        return refuse("its scope is not on record");
    };
    let candidate = components::read(home, started.action.digest)?;
    let mut limits = serde_json::from_str::<Scope>(scope.get())?.limits;
    let sealer: Option<Arc<Sealer>> = if was_told(&records) {
        Some(Keyring::open_read_only(home, &reader)?.of(&reader, run)?)
    } else {
        None
    };
    let mut opened = end_of(&records).cloned();
    if let (Some(end), Some(sealer)) = (&mut opened, &sealer)
        && let Some(own) = OwnWords::open(end, run, sealer)?
    {
        (end.detail, end.output) = (own.detail, own.output);
    }
    let end = opened.as_ref();
    let cut = end.is_none_or(was_cut_short);
    // If the record was cut short, the action is stopped by the limits of the run.
    if !cut {
        limits.wall_time = WALL_TIME;
    }
    let fuel =
        end.and_then(|ended| ended.counted().ok()).map(|counted| counted.fuel).filter(|fuel| *fuel > 0);
    if let (true, Some(fuel)) = (cut, fuel) {
        limits.fuel = limits.fuel.min(fuel);
    }

    // The cache is only read: a replay writes nothing.
    let sandbox = Sandbox::new(home.look_into_cache())?;
    let action =
        sandbox.readmit(&candidate, &Registry::of_record(&started.connectors, &[], &Arc::default()))?;
    let mut meter = Meter::start(limits.clone());
    let gate = Gate::replay(Replay::new(run, &records, limits, sealer));
    let entered = |phase| {
        records.iter().any(|(_, r)| matches!(&r.event, Event::Phase(entered) if entered.phase == phase))
    };
    let outcome = async {
        let input = started.input.get();
        let text = sandbox.call(&action, &gate, started.seed, &mut meter, Call::Run { input }).await?;
        let output = output(&text)?;
        if entered(Phase::Verify) {
            gate.enter(Phase::Verify).map_err(Stop::Fault)?;
            let verify = Call::Verify { input, output: &text };
            sandbox.call(&action, &gate, started.seed, &mut meter, verify).await?;
            if entered(Phase::HostCheck) {
                gate.enter(Phase::HostCheck).map_err(Stop::Fault)?;
            }
        }
        Ok::<_, Stop>(output)
    }
    .await;
    let used = gate.used();
    let (complete, divergence) = match compare(started, end, cut, &gate, outcome) {
        Ok(complete) => (complete, None),
        Err(Differs::Here(divergence)) => (true, Some(shown(*divergence, was_told(&records)))),
        Err(Differs::Broken(stop)) => return Err(stop.into()),
    };
    Ok(Replayed {
        run,
        calls: used.host_calls,
        complete,
        fuel: (fuel, meter.consumed(used).fuel),
        divergence,
    })
}

/// A difference as it may be shown. If the action was given a secret or content, both sides may contain it.
fn shown(divergence: Divergence, was_told: bool) -> Divergence {
    if !was_told {
        return divergence;
    }
    let (expected, got) = ("what is on record".to_owned(), format!("something else; {WITHHELD}"));
    Divergence { expected, got, ..divergence }
}

enum Differs {
    Here(Box<Divergence>),
    /// The replay itself failed, so that nothing was compared.
    Broken(Stop),
}

/// Whether the replay came to the recorded end (`true`) or to where the record was cut (`false`).
fn compare(
    started: &Started,
    end: Option<&Ended>,
    cut: bool,
    gate: &Gate,
    outcome: Result<serde_json::Value, Stop>,
) -> Result<bool, Differs> {
    let differs = |expected: String, got: String| {
        Err(Differs::Here(Box::new(Divergence { at: "the end".to_owned(), expected, got })))
    };
    let recorded = |ended: &Ended| format!("{}: {}", ended.state, ended.detail);
    let expected = || end.map_or_else(|| "no end".to_owned(), recorded);
    match &outcome {
        Err(Stop::NotStarted(why)) => return Err(Differs::Broken(Stop::NotStarted(why.clone()))),
        Err(Stop::Fault(Fault::Diverged(divergence))) => return Err(Differs::Here(divergence.clone())),
        Err(Stop::Fault(Fault::EndOfRecord) | Stop::Exceeded(_)) if cut => return Ok(false),
        Err(Stop::Fault(Fault::EndOfRecord)) => return differs(expected(), "a further call".to_owned()),
        _ => {}
    }
    if let (Some(left), false) = (gate.unasked(), cut) {
        return differs(left, "the end of the action".to_owned());
    }
    let failed = |detail: &str| {
        end.is_some_and(|ended| {
            // For a run in doubt, the host added the calls in doubt.
            ended.detail == detail
                || ended.state == RunState::InDoubt
                    && ended.detail.strip_prefix(detail).is_some_and(|rest| rest.starts_with("; "))
        })
    };
    match outcome {
        Ok(output) => {
            // The host's own check comes after the action, and may have failed.
            let succeeded = end.is_some_and(|ended| {
                matches!(ended.state, RunState::Succeeded | RunState::Rehearsed)
                    || ended.detail.starts_with("the host's own check of ")
            });
            let recorded_output = end.and_then(|ended| ended.output.as_ref());
            let rehearsed = started.mode == remit_journal::Mode::Rehearse;
            // An action that returns nothing returns `null`, which is read back as none.
            let same = rehearsed || recorded_output.unwrap_or(&serde_json::Value::Null) == &output;
            match (succeeded && same, cut) {
                (true, _) => Ok(true),
                // The action had returned before the record was cut short, or the record has no output.
                (false, true) if same || recorded_output.is_none() => Ok(false),
                (false, _) => {
                    let expected = recorded_output.map(ToString::to_string);
                    differs(
                        expected.unwrap_or_else(|| end.map_or_else(String::new, recorded)),
                        output.to_string(),
                    )
                }
            }
        }
        // The call that was refused in the run was refused again, and the record has nothing after it.
        Err(Stop::Fault(Fault::Recorded(_))) => Ok(true),
        Err(stop @ Stop::Fault(Fault::Record { .. })) => Err(Differs::Broken(stop)),
        Err(stop) if failed(&stop.to_string()) => Ok(true),
        Err(stop) => differs(expected(), stop.to_string()),
    }
}

/// The first end of a run.
fn end_of(records: &[(u64, Record)]) -> Option<&Ended> {
    let mut ends = records.iter().take_while(
        // An end that a recovery wrote is not the run's own.
        |(_, r)| !matches!(&r.event, Event::Phase(entered) if entered.phase == Phase::Recover),
    );
    ends.find_map(|(_, record)| match &record.event {
        Event::Ended(ended) => Some(ended),
        _ => None,
    })
}

/// Whether something outside the action ended it at a moment that the record cannot repeat.
fn was_cut_short(ended: &Ended) -> bool {
    ["limit `wall_time` exceeded", "the host's task for ", Stop::NOT_STARTED]
        .iter()
        .any(|why| ended.detail.starts_with(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_no_secret() {
        let text = |text: &str| text.to_owned();
        let found =
            Divergence { at: text("the end"), expected: text("hunter2"), got: text("the key is hunter2") };
        assert_eq!(shown(found.clone(), false), found);
        let shown = shown(found, true);
        assert!(shown.at == "the end" && !shown.to_string().contains("hunter2"), "{shown}");
    }
}
