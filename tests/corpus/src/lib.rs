//! Every input of `micro-build/tests/corpus`, and every golden file, as a module: it must compile
//! without a warning under the lints that people deny, in both editions, and document itself.
#![deny(warnings, missing_docs, unreachable_pub, unsafe_code, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/corpus.rs"));
