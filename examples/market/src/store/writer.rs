//! Writes events: many in one transaction, each once.

use std::path::Path;
use std::time::UNIX_EPOCH;

use micro_runtime::jetstream::{Delivery, DurableEvent};
use rusqlite::{CachedStatement, Connection, ToSql, TransactionBehavior};

use crate::proto::{Tick, Trade};
use crate::store::connection;
use crate::stream::Quote;

/// An event that is stored as a row of a table.
pub trait Row: Quote {
    /// Columns besides those that every quote has.
    const COLUMNS: &'static [&'static str];

    /// Returns the values of [`COLUMNS`](Self::COLUMNS), in their order.
    fn values(&self) -> Vec<&dyn ToSql>;
}

/// Connection that writes; a process has at most one.
#[derive(Debug)]
pub struct Writer(Connection);

impl Writer {
    /// Opens the database, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// If SQLite cannot open it.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        connection::open(path).map(Self)
    }

    /// Writes all events or none; they are on disk when it returns.
    ///
    /// # Errors
    ///
    /// If the transaction fails.
    pub fn write<E: Row>(&mut self, events: &[DurableEvent<E>]) -> rusqlite::Result<()> {
        // The write lock is taken at the start: a transaction that reads first cannot wait for another
        // writer, and fails instead.
        let transaction = self
            .0
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut statement = transaction.prepare_cached(&insert_statement::<E>())?;
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

/// Returns the statement that inserts a row. Of two copies, the one with the lower stream sequence wins,
/// so that the rows do not depend on the order of arrival.
fn insert_statement<E: Row>() -> String {
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
    let stored = stored_at(delivery);
    let (venue, symbol) = (event.venue(), event.symbol());
    let mut values: Vec<&dyn ToSql> = vec![&venue, &symbol, &number, &sequence, &stored];
    values.extend(event.values());
    statement.execute(values.as_slice())
}

/// Converts to SQLite's signed integers; no venue numbers its events above their maximum.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the time at which the stream stored the event, in microseconds since 1970.
fn stored_at(delivery: &Delivery) -> i64 {
    let since = delivery
        .time()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
