//! Writing events: many in one transaction, each once.

use std::path::Path;
use std::time::UNIX_EPOCH;

use micro_runtime::{Delivered, Delivery};
use rusqlite::{CachedStatement, Connection, TransactionBehavior, params};

use crate::market::Quote;
use crate::proto::{Tick, Trade};

/// An event that is a row of a table.
pub trait Row: Quote {
    /// Inserts a row. A second copy changes nothing, unless it lies before the first in the stream:
    /// so a database does not depend on the order in which copies came.
    const INSERT: &'static str;

    /// Writes the row.
    ///
    /// # Errors
    ///
    /// As SQLite.
    fn insert(
        &self,
        statement: &mut CachedStatement<'_>,
        delivery: &Delivery,
    ) -> rusqlite::Result<usize>;
}

/// The only connection of a process that writes.
#[derive(Debug)]
pub struct Writer(Connection);

impl Writer {
    /// Opens the database, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// As SQLite.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        super::open(path).map(Self)
    }

    /// Writes all of them, or none; they are on the disk when it returns.
    ///
    /// # Errors
    ///
    /// As SQLite.
    pub fn write<E: Row>(&mut self, events: &[Delivered<E>]) -> rusqlite::Result<()> {
        // Taken at once: a transaction that begins with reading could not wait for another writer.
        let transaction = self
            .0
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut statement = transaction.prepare_cached(E::INSERT)?;
        for event in events {
            event.insert(&mut statement, &event.delivery)?;
        }
        drop(statement);
        transaction.commit()
    }
}

impl Row for Trade {
    const INSERT: &'static str = "
        INSERT INTO trades (venue, symbol, number, time, price, amount, side, sequence, stored)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT DO UPDATE SET sequence = excluded.sequence, stored = excluded.stored
        WHERE excluded.sequence < sequence";

    fn insert(
        &self,
        statement: &mut CachedStatement<'_>,
        delivery: &Delivery,
    ) -> rusqlite::Result<usize> {
        statement.execute(params![
            self.venue,
            self.symbol,
            signed(self.number),
            self.time,
            self.price,
            self.amount,
            self.side,
            signed(delivery.sequence()),
            stored(delivery),
        ])
    }
}

impl Row for Tick {
    const INSERT: &'static str = "
        INSERT INTO ticks (venue, symbol, number, time, bid, ask, sequence, stored)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT DO UPDATE SET sequence = excluded.sequence, stored = excluded.stored
        WHERE excluded.sequence < sequence";

    fn insert(
        &self,
        statement: &mut CachedStatement<'_>,
        delivery: &Delivery,
    ) -> rusqlite::Result<usize> {
        statement.execute(params![
            self.venue,
            self.symbol,
            signed(self.number),
            self.time,
            self.bid,
            self.ask,
            signed(delivery.sequence()),
            stored(delivery),
        ])
    }
}

/// SQLite's integers are signed; no venue counts so far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// When the stream took it, in microseconds since 1970.
fn stored(delivery: &Delivery) -> i64 {
    let since = delivery
        .time()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
