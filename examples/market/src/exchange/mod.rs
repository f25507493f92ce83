//! The simulated exchange: a WebSocket server on loopback with the protocol of a real venue.

pub mod protocol;
mod server;
pub mod simulation;

pub use server::{Exchange, ExchangeSettings};
