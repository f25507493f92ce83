//! Runs one operation a given number of times on the in-process bus and a single thread:
//! `micro-instructions OPERATION COUNT`. Callgrind counts the instructions of two such runs; their
//! difference divided by the difference of the counts is the cost of one operation.
//!
//! `cargo xtask bench --against` builds this file against earlier revisions as well, so it uses only
//! the part of the API that they share.

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(test)))]
mod clock;
mod operation;
mod service;

use std::error::Error;

use crate::operation::Operation;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &arguments[..] else {
        return Err("usage: micro-instructions OPERATION COUNT".into());
    };
    let operation = Operation::named(name)?;
    let count = count.parse()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?
        .block_on(operation.run(count))
}
