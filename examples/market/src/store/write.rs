//! Writing events: many in one transaction, each once.

use std::path::Path;
use std::time::UNIX_EPOCH;

use micro_runtime::{Delivered, Delivery};
use rusqlite::{CachedStatement, Connection, ToSql, TransactionBehavior};

use crate::market::Quote;
use crate::proto::{Tick, Trade};

/// An event that is a row of a table.
pub trait Row: Quote {
    /// What the table has for it besides what it has for every quote.
    const COLUMNS: &'static [&'static str];

    /// The values of [`COLUMNS`](Self::COLUMNS), in their order.
    fn values(&self) -> Vec<&dyn ToSql>;
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
        let mut statement = transaction.prepare_cached(&insert_into::<E>())?;
        for event in events {
            insert::<E>(&mut statement, event, &event.delivery)?;
        }
        drop(statement);
        transaction.commit()
    }
}

impl Row for Trade {
    const COLUMNS: &'static [&'static str] = &["time", "price", "amount", "side"];

    fn values(&self) -> Vec<&dyn ToSql> {
        vec![&self.time, &self.price, &self.amount, &self.side]
    }
}

impl Row for Tick {
    const COLUMNS: &'static [&'static str] = &["time", "bid", "ask"];

    fn values(&self) -> Vec<&dyn ToSql> {
        vec![&self.time, &self.bid, &self.ask]
    }
}

/// Inserts a row. A second copy changes nothing, unless it lies before the first in the stream: so a
/// database does not depend on the order in which copies came.
fn insert_into<E: Row>() -> String {
    format!(
        "INSERT INTO {} (venue, symbol, number, sequence, stored, {})
         VALUES (?, ?, ?, ?, ?{})
         ON CONFLICT DO UPDATE SET sequence = excluded.sequence, stored = excluded.stored
         WHERE excluded.sequence < sequence",
        E::TABLE,
        E::COLUMNS.join(", "),
        ", ?".repeat(E::COLUMNS.len())
    )
}

fn insert<E: Row>(
    statement: &mut CachedStatement<'_>,
    event: &E,
    delivery: &Delivery,
) -> rusqlite::Result<usize> {
    let (number, sequence) = (signed(event.number()), signed(delivery.sequence()));
    let stored = stored(delivery);
    let (venue, symbol) = (event.venue(), event.symbol());
    let mut values: Vec<&dyn ToSql> = vec![&venue, &symbol, &number, &sequence, &stored];
    values.extend(event.values());
    statement.execute(values.as_slice())
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
