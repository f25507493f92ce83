//! Opens the database, and creates its tables.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Time for which one writer waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Tables and indexes. The primary key is the venue's own name of the event, so that a second copy
/// finds the first, whether it was published twice or delivered twice. The rows do not depend on the
/// order of arrival.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS trades (
        venue TEXT NOT NULL, symbol TEXT NOT NULL, number INTEGER NOT NULL,
        time INTEGER NOT NULL, price REAL NOT NULL, amount REAL NOT NULL, side INTEGER NOT NULL,
        sequence INTEGER NOT NULL, stored INTEGER NOT NULL,
        PRIMARY KEY (venue, symbol, number)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS ticks (
        venue TEXT NOT NULL, symbol TEXT NOT NULL, number INTEGER NOT NULL,
        time INTEGER NOT NULL, bid REAL NOT NULL, ask REAL NOT NULL,
        sequence INTEGER NOT NULL, stored INTEGER NOT NULL,
        PRIMARY KEY (venue, symbol, number)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS trades_by_time ON trades (venue, symbol, time, number);
    CREATE INDEX IF NOT EXISTS ticks_by_time ON ticks (venue, symbol, time, number);
";

/// Opens the database for writing, and creates it if there is none.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // WAL: readers and writers do not wait for each other. FULL: a commit is on disk before the event
    // is acknowledged, so that it survives a power failure.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// Opens an existing database for reading.
pub(super) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}
