//! Reads what peers and nats-server write, as arbitrary bytes, and checks the invariants that must hold for any: no
//! panic, nothing beyond the limits of docs/PROTOCOL.md, and what is read is the same after it is written and read
//! again. The fuzz targets of these names run it, with a time limit for each input, and tests replay their corpora.

mod header_block;
mod headers;
mod metadata;
mod overlap_model;
mod subjects;

/// Cases that a run reached, as in "a call with a deadline".
type Cases = std::collections::BTreeSet<&'static str>;

/// Entry point of the fuzz target `headers`.
#[cfg(fuzzing)]
pub fn fuzz_headers(bytes: &[u8]) {
    headers::run(bytes);
}

/// Entry point of the fuzz target `metadata`.
#[cfg(fuzzing)]
pub fn fuzz_metadata(bytes: &[u8]) {
    metadata::run(bytes);
}

/// Entry point of the fuzz target `subjects`.
#[cfg(fuzzing)]
pub fn fuzz_subjects(bytes: &[u8]) {
    subjects::run(bytes);
}

#[cfg(test)]
mod corpus_tests;
