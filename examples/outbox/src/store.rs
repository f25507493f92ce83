//! `Store`: the database, with orders and the events that are not published yet.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message as _;
use rusqlite::{Connection, Result};

use crate::proto::OrderPlaced;
use crate::step::{Step, StepHook};

/// Time for which one writer waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Tables. The outbox keeps the order of the events by its ids, and their bytes as they are published.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id TEXT PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, event BLOB NOT NULL
    );
";

/// The database of the shop: one SQLite file.
pub struct Store {
    connection: Mutex<Connection>,
    hook: Option<StepHook>,
}

/// An event that is stored, and whose acknowledgment is not.
#[derive(Clone, Debug, PartialEq)]
pub struct UnsentEvent {
    /// Row of the outbox.
    pub row: i64,
    /// Id under which the event is published, always the same.
    pub event_id: String,
    /// The event in protobuf.
    pub event: Vec<u8>,
}

impl Store {
    /// Opens the database, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// If SQLite cannot open it.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // FULL: a commit is on disk before anything is published.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            connection: Mutex::new(connection),
            hook: None,
        })
    }

    /// Calls `hook` at each step.
    #[must_use]
    pub fn with_hook(mut self, hook: StepHook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Stores an order and its event, both or none.
    ///
    /// # Errors
    ///
    /// If the order exists already, or SQLite fails; nothing is stored then.
    pub fn place(&self, order: &OrderPlaced) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO orders (id, item, quantity) VALUES (?1, ?2, ?3)",
            (&order.order_id, &order.item, order.quantity),
        )?;
        transaction.execute(
            "INSERT INTO outbox (event_id, event) VALUES (?1, ?2)",
            (
                format!("order-placed:{}", order.order_id),
                order.encode_to_vec(),
            ),
        )?;
        self.reached(Step::BeforeCommit);
        transaction.commit()?;
        self.reached(Step::AfterCommit);
        Ok(())
    }

    /// Returns the oldest events whose acknowledgment is not stored, up to so many.
    ///
    /// # Errors
    ///
    /// If SQLite fails.
    pub fn unsent(&self, max: u32) -> Result<Vec<UnsentEvent>> {
        let connection = self.lock();
        let mut query =
            connection.prepare("SELECT id, event_id, event FROM outbox ORDER BY id LIMIT ?1")?;
        let rows = query.query_map([max], |row| {
            Ok(UnsentEvent {
                row: row.get(0)?,
                event_id: row.get(1)?,
                event: row.get(2)?,
            })
        })?;
        rows.collect()
    }

    /// Removes an event that JetStream has acknowledged.
    ///
    /// # Errors
    ///
    /// If SQLite fails; the event is published once more then, under the same id.
    pub fn mark_sent(&self, event: &UnsentEvent) -> Result<()> {
        self.reached(Step::AfterAck);
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM outbox WHERE id = ?1", [event.row])?;
        self.reached(Step::BeforeMark);
        transaction.commit()
    }

    /// Returns the ids of all orders.
    ///
    /// # Errors
    ///
    /// If SQLite fails.
    pub fn order_ids(&self) -> Result<Vec<String>> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT id FROM orders ORDER BY id")?;
        let ids = query.query_map([], |row| row.get(0))?;
        ids.collect()
    }

    fn reached(&self, step: Step) {
        if let Some(hook) = &self.hook {
            hook(step);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
