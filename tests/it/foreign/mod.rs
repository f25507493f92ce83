//! Services and callers in four languages that know protobuf and NATS alone, nothing of streams or of this library;
//! and callers that know of offers alone.

mod plain_callers;
mod plain_services;
mod programs;
