//! Clients without generated code: calls of every kind, and the schemas that they read.

mod invalid_schemas;
mod method_kinds;
mod mirror_fixture;
mod nats_py_service;
mod schema_responder;
mod schemas;
