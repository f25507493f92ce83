//! Reads what peers and nats-server write, as arbitrary bytes, and checks the invariants that must hold for any: no
//! panic, nothing beyond the limits of docs/PROTOCOL.md, and what is read is the same after it is written and read
//! again. The fuzz targets of these names run it, with a time limit for each input, and tests replay their corpora.

mod cases;
#[cfg(test)]
mod corpus_tests;
mod header_block;
mod headers;
mod metadata;
mod overlap_model;
mod subjects;

#[cfg(fuzzing)]
pub use headers::fuzz_headers;
#[cfg(fuzzing)]
pub use metadata::fuzz_metadata;
#[cfg(fuzzing)]
pub use subjects::fuzz_subjects;
