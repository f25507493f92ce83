//! Generated code of every case in `micro-build/tests/corpus`, and every golden file. It must compile without
//! a warning under common strict lints, in both editions, with documentation on every item.
#![deny(warnings, missing_docs, unreachable_pub, unsafe_code, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/corpus.rs"));
