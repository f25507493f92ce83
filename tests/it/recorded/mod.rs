//! Recorded messages of each released wire, replayed by a plain NATS client to a server and a client of this version:
//! each is understood or refused by name. See the README of this folder.

mod exchange;
mod record;
mod to_client;
mod to_server;
