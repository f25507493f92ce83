//! The database: one SQLite file in WAL mode, which many processes read while some write.

mod connection;
mod reader;
mod writer;

pub use reader::{Reader, SymbolRow};
pub use writer::{Row, Writer};
