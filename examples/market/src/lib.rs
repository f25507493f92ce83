//! A small market over NATS: feeds that publish trades and ticks, a recorder that stores every one of
//! them, services that serve queries from its database, and a subscriber in Python.
//!
//! Each part runs as a process of its own (`market feed-crypto`, `market recorder`, …);
//! [`supervisor`] starts them all. `README.md` describes the parts and their options.

pub mod audit;
pub mod candles;
pub mod exchange;
pub mod feed;
pub mod history;
pub mod indicators;
pub mod lifecycle;
pub mod proto;
pub mod recorder;
pub mod replay;
mod result;
pub mod store;
pub mod stream;
pub mod supervisor;
pub mod watcher;

pub use result::Result;
