//! Discovery: the records of instances, queries, watches, and calls to all instances.

mod adr32;
mod call_all;
mod edge_cases;
mod handwritten_services;
mod health;
mod permissions;
mod plain_client;
mod python;
mod queries;
mod record_schema;
mod stats;
mod watch;
