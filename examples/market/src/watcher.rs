//! The subscriber in Python: where its program and its message classes come from.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// What `build.rs` has made of `proto/market.proto`, with all its imports.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/market.fds.bin"));
const PROGRAM: &str = include_str!("../python/watcher.py");
const MESSAGES: &str = include_str!("../python/messages.py");

/// Puts program and descriptors into `folder`, where it also keeps what it has seen, and the pinned
/// packages where it finds them; returns what to run.
///
/// # Errors
///
/// If there is no Python 3 with pip, or the folder cannot be written.
pub fn command(folder: &Path, url: &str) -> Result<Command> {
    let place = |name: &str, content: &[u8]| -> Result<PathBuf> {
        let path = folder.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    };
    place("messages.py", MESSAGES.as_bytes())?;
    let program = place("watcher.py", PROGRAM.as_bytes())?;
    let descriptors = place("market.fds.bin", DESCRIPTORS)?;
    let mut command = micro_testkit::python()?;
    command
        .arg(program)
        .env("NATS_URL", url)
        .env("MARKET_DESCRIPTORS", descriptors)
        .env("MARKET_SEEN", folder.join("python.seen"));
    Ok(command)
}
