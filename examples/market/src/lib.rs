//! A small market over NATS: feeds that publish trades and ticks, a recorder that loses none of
//! them, services that answer from its records, and a subscriber in Python.
//!
//! Each part runs as a process of its own (`market feed-crypto`, `market recorder`, …);
//! [`show`] starts them all. The README tells how to use them.

/// Messages, events and services of `proto/market.proto`.
pub mod proto {
    micro_runtime::include_proto!("market.v1");
}

pub mod account;
pub mod candles;
pub mod exchange;
pub mod feed;
pub mod history;
pub mod indicators;
pub mod life;
pub mod market;
pub mod recorder;
pub mod replay;
pub mod show;
pub mod store;
pub mod watcher;

/// Ends a part with a sentence for the person who started it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
