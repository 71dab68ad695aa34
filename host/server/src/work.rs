//! What the server does by itself: it recovers what a killed host left, tells notifiers, closes what expired, reminds of reviews, and looks
//! whether the journal grew.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use remit_lifecycle::{Error, Host, Recovery};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;

/// How often the journal is looked at for those who follow a run.
const LOOK: Duration = Duration::from_millis(200);
/// How often notifiers are told what there is to tell, and runs are recovered.
const ROUND: Duration = Duration::from_secs(5);
/// How long one notifier may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether people are to be reminded of something.
const REMINDED: SignedDuration = SignedDuration::from_mins(10);
/// How many rounds are left out, at most, after one in which something could not be recovered or undone: a minute.
const LONGEST_PAUSE: u32 = 12;
/// The same after one in which a notifier could not be told: five minutes.
const LONGEST_SILENCE: u32 = 60;

/// Looks at the journal until nobody listens any more.
pub(crate) async fn look(host: Host, records: watch::Sender<u64>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !records.is_closed() {
        ticks.tick().await;
        let size = host.journal.reader().and_then(|reader| reader.size());
        match size {
            Ok(size) => {
                records.send_if_modified(|known| std::mem::replace(known, size) != size);
            }
            Err(error) => tracing::warn!(%error, "the journal cannot be read"),
        }
    }
}

/// The server's rounds: two loops, because a notifier that does not answer must not keep what is due waiting.
pub(crate) async fn rounds(app: App) {
    tokio::join!(again(&app, Round::Keep), again(&app, Round::Tell),);
}

/// What a loop does.
#[derive(Clone, Copy)]
enum Round {
    Keep,
    Tell,
}

/// Does it in each round until the server stops. After a round in which something failed, rounds are left out: more each time,
/// up to a limit.
async fn again(app: &App, round: Round) {
    let mut stopping = app.stopping.clone();
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut failures, mut pause) = (0_u32, 0_u32);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        if pause > 0 {
            pause -= 1;
            continue;
        }
        let (well, longest) = match round {
            Round::Keep => (keep(app).await, LONGEST_PAUSE),
            Round::Tell => (tell_notifiers(&app.host).await, LONGEST_SILENCE),
        };
        if well {
            failures = 0;
        } else {
            failures = failures.saturating_add(1);
            let random = remit_trust::random().map_or(0, |random: [u8; 32]| random[0]);
            pause = left_out(failures, longest, random);
        }
    }
}

/// How many rounds are left out after so many failures one after the other: twice as many each time, up to `longest`, and between
/// half of that and all of it, so that servers that meet the same fault are not in step.
fn left_out(failures: u32, longest: u32, random: u8) -> u32 {
    let most = 2_u32.saturating_pow(failures.min(8)).min(longest);
    most / 2 + u32::from(random) % (most / 2 + 1)
}

/// Logs what a recovery did.
pub(crate) fn tell(recovery: &Recovery) {
    for run in &recovery.recovered {
        tracing::warn!(run = %run.run, state = %run.state, "a run that was left behind was recovered");
    }
    for run in &recovery.restored {
        tracing::warn!(run = %run.run, state = %run.state, "the time of a run's changes was up");
    }
    for run in &recovery.paged {
        tracing::warn!(%run, "people are called because of a run");
    }
}

/// Recovers, undoes what is due, closes what expired, and counts; whether all of it went well.
async fn keep(app: &App) -> bool {
    let host = &app.host;
    let mut well = true;
    match remit_lifecycle::recover(host).await {
        Ok(recovery) => {
            tell(&recovery);
            well &= recovery.stuck.is_empty();
        }
        Err(error) => {
            tracing::error!(%error, "runs could not be recovered");
            well = false;
        }
    }
    if let Err(error) = remit_lifecycle::expire(host).await {
        tracing::error!(%error, "what expired could not be closed");
        well = false;
    }
    // All runs are looked through for that.
    let minutes = Timestamp::now().as_second() / REMINDED.as_secs();
    if app.reminded.swap(minutes, Ordering::Relaxed) != minutes
        && let Err(error) = remit_lifecycle::remind(host).await
    {
        tracing::error!(%error, "people could not be reminded of reviews");
        well = false;
    }
    match host
        .journal
        .reader()
        .map_err(Error::from)
        .and_then(|reader| remit_lifecycle::status(&host.home, &reader))
    {
        Ok(status) => app.metrics.stands(&status),
        Err(error) => tracing::warn!(%error, "how the host stands cannot be told"),
    }
    well
}

/// Tells notifiers what there is to tell; whether each could be told.
async fn tell_notifiers(host: &Host) -> bool {
    match remit_lifecycle::notify(host, PATIENCE).await {
        Ok(delivery) => {
            for error in &delivery.failed {
                tracing::warn!(%error, "a notifier could not be told");
            }
            delivery.failed.is_empty()
        }
        Err(error) => {
            tracing::error!(%error, "notifiers could not be told");
            false
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_differ() {
        for longest in [LONGEST_PAUSE, LONGEST_SILENCE] {
            let mut before = 0;
            for failures in (1..=300).chain([u32::MAX]) {
                let pauses: BTreeSet<u32> =
                    (0..=u8::MAX).map(|random| left_out(failures, longest, random)).collect();
                let (shortest, most) = (*pauses.first().unwrap(), *pauses.last().unwrap());
                let case = format!("{failures} failures: {pauses:?}");
                assert!(shortest >= 1 && most <= longest, "{case}");
                // Every number of rounds between the two, so that it is a matter of chance.
                assert_eq!(pauses, (shortest..=most).collect(), "{case}");
                assert!(pauses.len() > 1 && shortest * 2 <= most + 1, "{case}");
                // Never shorter than after fewer failures, and twice as long until the limit.
                assert_eq!(most, (2 * before).max(2).min(longest), "{case}");
                before = most;
            }
            assert_eq!(before, longest);
        }
    }
}
