//! Queries: counts, prices, ticks, and the fingerprint of all rows.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use crate::candles::PricePoint;
use crate::proto::Tick;
use crate::store::connection;

const TABLES: [&str; 2] = ["trades", "ticks"];

/// Connection that only reads.
#[derive(Debug)]
pub struct Reader(Connection);

/// Symbol with the number of its recorded events.
#[derive(Clone, Debug, PartialEq)]
pub struct SymbolRow {
    /// Exchange that trades it.
    pub venue: String,
    /// Name of the symbol.
    pub symbol: String,
    /// Number of recorded trades or ticks.
    pub events: u64,
}

impl Reader {
    /// Opens an existing database.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        connection::open_read_only(path).map(Self)
    }

    /// Returns the number of rows of both tables.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn rows(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT (SELECT count(*) FROM trades) + (SELECT count(*) FROM ticks)";
        self.number(sql)
    }

    /// Returns the highest event number of a venue, 0 if there is none.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn last_number(&self, table: &str, venue: &str) -> rusqlite::Result<u64> {
        let sql = format!("SELECT coalesce(max(number), 0) FROM {table} WHERE venue = ?1");
        let number: i64 = self.0.query_row(&sql, [venue], |row| row.get(0))?;
        Ok(number.unsigned_abs())
    }

    /// Returns the stream sequence of each row, by its id, which is also the id in the feeds' ledgers.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn sequences_by_id(&self) -> rusqlite::Result<HashMap<String, i64>> {
        let mut sequences = HashMap::new();
        for table in TABLES {
            let sql = format!(
                "SELECT '{table}:' || venue || ':' || symbol || ':' || number, sequence FROM {table}"
            );
            let mut statement = self.0.prepare(&sql)?;
            for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
                let (id, sequence) = row?;
                sequences.insert(id, sequence);
            }
        }
        Ok(sequences)
    }

    /// Returns the SHA-256 of every column of every row, in the order of the keys.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn fingerprint(&self) -> rusqlite::Result<String> {
        let mut hash = Sha256::new();
        for table in TABLES {
            let sql = format!("SELECT * FROM {table} ORDER BY venue, symbol, number");
            let mut statement = self.0.prepare(&sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    match row.get_ref(column)? {
                        ValueRef::Integer(number) => hash.update(number.to_le_bytes()),
                        ValueRef::Real(number) => hash.update(number.to_le_bytes()),
                        ValueRef::Text(text) => {
                            hash.update(text);
                            hash.update([0]);
                        }
                        ValueRef::Null | ValueRef::Blob(_) => hash.update([0]),
                    }
                }
            }
        }
        Ok(hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Returns every symbol that has recorded events.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn symbols(&self) -> rusqlite::Result<Vec<SymbolRow>> {
        let mut statement = self.0.prepare_cached(
            "SELECT venue, symbol, count(*) FROM trades GROUP BY venue, symbol
             UNION ALL SELECT venue, symbol, count(*) FROM ticks GROUP BY venue, symbol",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(SymbolRow {
                venue: row.get(0)?,
                symbol: row.get(1)?,
                events: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })?;
        rows.collect()
    }

    /// Returns the time of the last event of a symbol before a given time.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn last_time(
        &self,
        venue: &str,
        symbol: &str,
        before: i64,
    ) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.0.prepare_cached(
            "SELECT max(time) FROM (
                 SELECT max(time) AS time FROM trades WHERE venue = ?1 AND symbol = ?2 AND time < ?3
                 UNION ALL
                 SELECT max(time) FROM ticks WHERE venue = ?1 AND symbol = ?2 AND time < ?3)",
        )?;
        statement.query_row(params![venue, symbol, before], |row| row.get(0))
    }

    /// Returns the prices of a time span, oldest first: those of trades, or the middle between bid and ask.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn prices(
        &self,
        venue: &str,
        symbol: &str,
        from: i64,
        until: i64,
    ) -> rusqlite::Result<Vec<PricePoint>> {
        let mut statement = self.0.prepare_cached(
            "SELECT time, price, amount, number FROM trades
             WHERE venue = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4
             UNION ALL SELECT time, (bid + ask) / 2, 0.0, number FROM ticks
             WHERE venue = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4
             ORDER BY time, number",
        )?;
        let rows = statement.query_map(params![venue, symbol, from, until], |row| {
            Ok(PricePoint {
                time: row.get(0)?,
                price: row.get(1)?,
                amount: row.get(2)?,
            })
        })?;
        rows.collect()
    }

    /// Returns up to `limit` ticks after the position (time, number) and before the time `until`.
    ///
    /// # Errors
    ///
    /// If the query fails.
    pub fn ticks(
        &self,
        (venue, symbol): (&str, &str),
        after: (i64, u64),
        until: i64,
        limit: u32,
    ) -> rusqlite::Result<Vec<Tick>> {
        let mut statement = self.0.prepare_cached(
            "SELECT venue, symbol, number, time, bid, ask FROM ticks
             WHERE venue = ?1 AND symbol = ?2 AND (time, number) > (?3, ?4) AND time < ?5
             ORDER BY time, number LIMIT ?6",
        )?;
        let number = i64::try_from(after.1).unwrap_or(i64::MAX);
        let rows = statement.query_map(
            params![venue, symbol, after.0, number, until, limit],
            |row| {
                Ok(Tick {
                    venue: row.get(0)?,
                    symbol: row.get(1)?,
                    number: row.get::<_, i64>(2)?.unsigned_abs(),
                    time: row.get(3)?,
                    bid: row.get(4)?,
                    ask: row.get(5)?,
                })
            },
        )?;
        rows.collect()
    }

    fn number(&self, sql: &str) -> rusqlite::Result<u64> {
        let number: i64 = self.0.query_row(sql, [], |row| row.get(0))?;
        Ok(number.unsigned_abs())
    }
}
