//! The embedded store: versions in an SQLite file, values sealed under a key in a file beside it.

mod error;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use remit_file::{FileError, Kind};
use remit_gate::{Failure, Resource};
use remit_trust::{Sealed, Sealer, SecretBytes, SecretText};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params,
};
use serde::Deserialize;

use super::blocking::{Blocking, OnThreads};
use super::fields::Fields;
use super::store::{Act, Identity, Metadata, Right, Turn, Version, VersionState, check_version, unreadable};
use crate::error::BackendError;
pub use error::EmbeddedError;

/// The newest format known, in SQLite's `user_version`.
const FORMAT: i64 = 2;
/// The maximum time that a writer waits for another process.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the key is known by; see `key_check` in the schema.
const KEY_CHECK: &[u8] = b"remit-secrets-key-v1";

/// The tables of format 1.
const SCHEMA: &str = "
    CREATE TABLE key_check (sealed BLOB NOT NULL) STRICT;
    CREATE TABLE version (
        path       TEXT    NOT NULL,
        number     INTEGER NOT NULL CHECK (number > 0),
        created_ms INTEGER NOT NULL,
        disabled   INTEGER NOT NULL DEFAULT 0,
        sealed     BLOB, -- NULL: destroyed
        PRIMARY KEY (path, number)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// Format 2: each secret has an identity, which no other secret of its path ever had.
const IDENTITIES: &str = "
    CREATE TABLE secret (
        path     TEXT NOT NULL PRIMARY KEY,
        identity TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO secret SELECT path, min(created_ms) || '-' || hex(randomblob(16)) FROM version GROUP BY path;
    PRAGMA user_version = 2;
";

/// `backend = "embedded"`: a file of Remit's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedConfig {
    /// The database, relative to Remit's home. Its key is beside it, in `FILE.key`.
    pub file: PathBuf,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { file: "secrets.db".into() }
    }
}

/// Secrets in a file of Remit's own. Cheap to clone; all clones are the same store.
pub type Embedded = OnThreads<Database>;

/// The open database and the key of its values.
pub struct Database {
    file: PathBuf,
    db: Mutex<Connection>,
    sealer: Sealer,
}

impl Embedded {
    /// Opens the store, or makes it with a key of its own at `FILE.key` (both mode 0600).
    pub fn open(file: &Path) -> Result<Self, BackendError> {
        let mut key = file.as_os_str().to_owned();
        key.push(".key");
        let key = PathBuf::from(key);
        let unusable = |error| BackendError::File {
            what: "the embedded store",
            source: FileError::writing(file, Kind::Kept, &error),
        };
        let holds_something = match remit_file::check(file, Kind::Kept) {
            Ok(()) => std::fs::metadata(file).map_err(unusable)?.len() > 0,
            Err(error) if error.is_missing() => false,
            Err(source) => return Err(BackendError::File { what: "the embedded store", source }),
        };
        // A fresh key would hide the loss: everything would open but the values.
        if holds_something && !key.exists() {
            return Err(EmbeddedError::KeyMissing { store: file.to_owned(), key }.into());
        }
        let sealer = Sealer::load_or_create(&key).map_err(EmbeddedError::from)?;
        match remit_file::make_empty(file) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(error)),
        }
        let db = connect(file).map_err(|source| EmbeddedError::Database { path: file.to_owned(), source })?;
        let inner = Database { file: file.to_owned(), db: Mutex::new(db), sealer };
        inner.prepare()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Stores a new version of a secret by an administrator's own hand (`remit secret put --replace`), whatever
    /// there was before; answers its number.
    ///
    /// It asks for no [`Authority`] because no action is involved: it stands to this store as `bao kv
    /// put` stands to OpenBao. Operations reach stores only as `dyn SecretStore` through
    /// [`Secrets`](crate::secrets::Secrets), and this method is not part of that trait.
    pub async fn seed(&self, secret: &Resource, fields: Fields) -> Result<u64, Failure> {
        let path = secret.path().to_owned();
        self.run(move |inner| inner.insert(&path, None, None, &fields)).await
    }

    /// Like [`Self::seed`], but keeps every field except `field`, as `bao kv patch` does. Returns the version number
    /// and the names of the kept fields. [`Failure::Conflict`] if the present version cannot be read, so that none of
    /// it can be kept.
    pub async fn seed_field(
        &self,
        secret: &Resource,
        field: &str,
        value: SecretText,
    ) -> Result<(u64, Vec<String>), Failure> {
        let (path, field) = (secret.path().to_owned(), field.to_owned());
        self.run(move |inner| {
            loop {
                let (current, identity, old) = match inner.metadata(&path) {
                    Ok(found) => {
                        let state = found.version(&path, found.current)?.state;
                        if state != VersionState::Enabled {
                            return Err(Failure::Conflict(format!(
                                "the current version {} of {path} is {state}, so no field of it can be kept",
                                found.current
                            )));
                        }
                        (found.current, found.identity, inner.read(&path, found.current)?)
                    }
                    Err(Failure::NotFound(_)) => (0, None, Fields::default()),
                    Err(other) => return Err(other),
                };
                let kept = old.names().filter(|name| *name != field).map(ToOwned::to_owned).collect();
                let new = old.with(&field, value.clone());
                match inner.insert(&path, identity.as_ref(), Some(current), &new) {
                    // Another process wrote meanwhile: what it wrote is kept.
                    Err(Failure::Conflict(_)) => {}
                    written => return Ok((written?, kept)),
                }
            }
        })
        .await
    }

    /// Brings a version to a state by an administrator's own hand, as [`Embedded::seed`] makes one: an offline
    /// test of an action begins with an estate.
    pub async fn seed_state(
        &self,
        secret: &Resource,
        version: u64,
        state: VersionState,
    ) -> Result<(), Failure> {
        let turn = match state {
            VersionState::Enabled => Turn::Enable,
            VersionState::Disabled => Turn::Disable,
            VersionState::Destroyed => Turn::Destroy,
        };
        let path = secret.path().to_owned();
        self.run(move |inner| inner.turn(turn, &path, None, version)).await
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Embedded({})", self.0.file.display())
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

impl Blocking for Database {
    const NAME: &'static str = "the embedded store";

    fn metadata(&self, path: &str) -> Result<Metadata, Failure> {
        let metadata = metadata(&self.db(), path).map_err(|error| self.failure(&error))?;
        if metadata.current == 0 { Err(unknown(path)) } else { Ok(metadata) }
    }

    fn read(&self, path: &str, version: u64) -> Result<Fields, Failure> {
        check_version(version)?;
        let found: Option<(bool, Option<Vec<u8>>)> = self
            .db()
            .query_row(
                "SELECT disabled, sealed FROM version WHERE path = ?1 AND number = ?2",
                params![path, version.cast_signed()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(|error| self.failure(&error))?;
        let sealed = match found {
            None => return Err(Failure::NotFound(format!("{path} has no version {version}"))),
            Some((_, None)) => return Err(unreadable(path, version, VersionState::Destroyed)),
            Some((true, _)) => return Err(unreadable(path, version, VersionState::Disabled)),
            Some((false, Some(sealed))) => Sealed::from_bytes(sealed),
        };
        let open = self.sealer.open(&context(path, version), &sealed);
        let plain =
            open.map_err(|error| Failure::Unavailable(format!("version {version} of {path}: {error}")))?;
        Fields::from_secret(&SecretBytes::new(plain.to_vec()))
    }

    fn turn(&self, turn: Turn, path: &str, identity: Option<&Identity>, version: u64) -> Result<(), Failure> {
        check_version(version)?;
        self.change(|tx| {
            let known = metadata(tx, path).map_err(|error| self.failure(&error))?;
            if known.current == 0 {
                return Err(unknown(path));
            }
            known.must_be(identity, path)?;
            let sql = match turn.from(path, version, known.version(path, version)?.state)? {
                VersionState::Enabled => "UPDATE version SET disabled = 0 WHERE path = ?1 AND number = ?2",
                VersionState::Disabled => "UPDATE version SET disabled = 1 WHERE path = ?1 AND number = ?2",
                VersionState::Destroyed => "UPDATE version SET sealed = NULL WHERE path = ?1 AND number = ?2",
            };
            tx.execute(sql, params![path, version.cast_signed()])
                .map(drop)
                .map_err(|error| self.failure(&error))
        })?;
        if turn == Turn::Destroy {
            // The old page leaves the write-ahead log too, unless another process still reads it; then
            // SQLite overwrites it later.
            let _ = self.db().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        Ok(())
    }

    /// A process that can write to the file has every right.
    fn right(&self, _: &str, _: Act) -> Result<Right, Failure> {
        Ok(Right::Held)
    }

    fn check(&self, _: &str) -> Result<String, Failure> {
        let secrets: i64 = self
            .db()
            .query_row("SELECT count(DISTINCT path) FROM version", [], |row| row.get(0))
            .map_err(|error| self.failure(&error))?;
        let noun = if secrets == 1 { "secret" } else { "secrets" };
        Ok(format!("embedded store {}, {secrets} {noun}", self.file.display()))
    }

    fn put(
        &self,
        path: &str,
        identity: Option<&Identity>,
        expected_current: u64,
        fields: &Fields,
    ) -> Result<u64, Failure> {
        self.insert(path, identity, Some(expected_current), fields)
    }
}

impl Database {
    fn db(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut short was rolled back as it was dropped.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks format and key, and makes the tables in a new file.
    fn prepare(&self) -> Result<(), EmbeddedError> {
        let failed = |source| EmbeddedError::Database { path: self.file.clone(), source };
        let mut db = self.db();
        let version = |db: &Connection| db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        let found = version(&db).map_err(failed)?;
        if found > FORMAT {
            return Err(EmbeddedError::Newer { path: self.file.clone(), found, known: FORMAT });
        }
        // FULL: a version that was answered survives a power cut.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
            .map_err(failed)?;
        if found < FORMAT {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            // Another process may have made the tables while this one waited.
            let found = version(&tx).map_err(failed)?;
            if found == 0 {
                let sealed = self.sealer.seal(KEY_CHECK, &[]).map_err(|source| self.wrong_key(source))?;
                tx.execute_batch(SCHEMA).map_err(failed)?;
                tx.execute("INSERT INTO key_check VALUES (?1)", [sealed.as_bytes()]).map_err(failed)?;
            }
            if found < FORMAT {
                tx.execute_batch(IDENTITIES).map_err(failed)?;
            }
            tx.commit().map_err(failed)?;
        }
        let check: Vec<u8> =
            db.query_row("SELECT sealed FROM key_check", [], |row| row.get(0)).map_err(failed)?;
        self.sealer
            .open(KEY_CHECK, &Sealed::from_bytes(check))
            .map(drop)
            .map_err(|source| self.wrong_key(source))
    }

    fn wrong_key(&self, source: remit_trust::SealError) -> EmbeddedError {
        EmbeddedError::WrongKey { store: self.file.clone(), source }
    }

    /// Without `expected`, on top of whatever there is.
    fn insert(
        &self,
        path: &str,
        identity: Option<&Identity>,
        expected: Option<u64>,
        fields: &Fields,
    ) -> Result<u64, Failure> {
        self.change(|tx| {
            let known = metadata(tx, path).map_err(|error| self.failure(&error))?;
            known.must_be(identity, path)?;
            let current = known.current;
            if expected.is_some_and(|expected| expected != current) {
                return Err(Failure::Conflict(format!(
                    "version {current} of {path} is current, not {}",
                    expected.unwrap_or_default()
                )));
            }
            let number = current + 1;
            let sealed = self
                .sealer
                .seal(&context(path, number), fields.to_secret().expose())
                .map_err(|error| Failure::Invalid(error.to_string()))?;
            let now = Timestamp::now().as_millisecond();
            if current == 0 {
                // If all versions of a secret were removed by hand, this is a new secret with a new identity.
                tx.execute(
                    "INSERT OR REPLACE INTO secret VALUES (?1, ?2 || '-' || hex(randomblob(16)))",
                    params![path, now],
                )
                .map_err(|error| self.failure(&error))?;
            }
            tx.execute(
                "INSERT INTO version (path, number, created_ms, sealed) VALUES (?1, ?2, ?3, ?4)",
                params![path, number.cast_signed(), now, sealed.as_bytes()],
            )
            .map_err(|error| self.failure(&error))?;
            Ok(number)
        })
    }

    /// Compares and writes in one transaction, which leaves nothing behind if it fails.
    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut db = self.db();
        let tx = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.failure(&error))?;
        let done = work(&tx)?;
        tx.commit().map_err(|error| self.failure(&error))?;
        Ok(done)
    }

    fn failure(&self, error: &rusqlite::Error) -> Failure {
        let file = self.file.display();
        match error.sqlite_error_code() {
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied,
            ) => Failure::Denied(format!("the host may not write to {file}: {error}")),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Failure::Unavailable(format!("{file} is locked by another process"))
            }
            _ => Failure::Unavailable(format!("{file}: {error}")),
        }
    }
}

fn metadata(db: &Connection, path: &str) -> rusqlite::Result<Metadata> {
    let mut query = db.prepare_cached(
        "SELECT number, created_ms, disabled, sealed IS NULL, identity
         FROM version LEFT JOIN secret USING (path) WHERE path = ?1 ORDER BY number",
    )?;
    let mut known = Metadata { identity: None, current: 0, versions: Vec::new() };
    let mut rows = query.query([path])?;
    while let Some(row) = rows.next()? {
        let state = match (row.get(2)?, row.get(3)?) {
            (_, true) => VersionState::Destroyed,
            (true, false) => VersionState::Disabled,
            (false, false) => VersionState::Enabled,
        };
        known.current = row.get::<_, i64>(0)?.cast_unsigned();
        known.identity = row.get::<_, Option<String>>(4)?.map(Identity::new);
        let created = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        known.versions.push(Version { number: known.current, created, state, expires: None });
    }
    Ok(known)
}

/// What a sealed value is bound to: it opens in no other place.
fn context(path: &str, version: u64) -> Vec<u8> {
    format!("remit-secret-v1 {path} {version}").into_bytes()
}

fn unknown(path: &str) -> Failure {
    Failure::NotFound(format!("there is no secret {path}"))
}

#[cfg(test)]
mod tests;
