//! A reader's running count of changes: see [`Spent`].

use jiff::{SignedDuration, Timestamp};

use crate::{JournalError, LONGEST_RUN, Reader, Spent};

impl Reader {
    /// Gives `read` the changes of the live runs that changed something, or started, within the last `window`. Measured by
    /// [`Reader::now`], which a clock that was set back does not make earlier.
    pub fn spent<T>(
        &self,
        window: SignedDuration,
        read: impl FnOnce(&Spent) -> T,
    ) -> Result<T, JournalError> {
        // Only then the time: with an earlier one than another thread's, everything would be counted again.
        let mut spent = self.spending();
        let since = self.now()?.checked_sub(window).unwrap_or(Timestamp::MIN);
        if since < spent.since || spent.upto == 0 {
            // The first query, or one for a longer window: count again from the first run that may have gone on in the window.
            let first = since.checked_sub(LONGEST_RUN).unwrap_or(Timestamp::MIN);
            *spent = Spent::after_record(self.before(first)?, since);
        }
        let rows = {
            let database = self.database();
            let query = || -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
                let mut rows = database.prepare_cached(
                    "SELECT seq, body FROM record NOT INDEXED WHERE seq > ?1
                     AND kind IN ('started', 'intent', 'undo-outcome', 'phase', 'ended') ORDER BY seq",
                )?;
                rows.query_map([spent.upto.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            };
            query().map_err(|error| self.sql(&error))?
        };
        for (seq, body) in rows {
            let record = serde_json::from_slice(&body).map_err(|error| JournalError::Record {
                which: seq.to_string(),
                verb: "read",
                why: error.to_string(),
            })?;
            spent.follow(record);
            spent.upto = seq.cast_unsigned();
        }
        spent.forget(since);
        Ok(read(&spent))
    }

    /// The number of the last record before the first run that started at `since` or later.
    fn before(&self, since: Timestamp) -> Result<u64, JournalError> {
        // Read first: a run that starts meanwhile has a higher number.
        let size = self.size()?;
        let mut first = None;
        self.newest_runs(|seq, record| {
            let counts = record.at >= since;
            if counts {
                first = Some(seq);
            }
            counts
        })?;
        Ok(first.map_or(size, |seq| seq - 1))
    }
}
