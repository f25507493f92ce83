//! The subscriber in Python: the command that runs it, with its program and its message descriptors.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// `FileDescriptorSet` of `proto/market.proto` and its imports, which `build.rs` writes.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/market.fds.bin"));
const PROGRAM: &str = include_str!("../python/watcher.py");
const MESSAGES: &str = include_str!("../python/messages.py");

/// Writes the program and the descriptors into `folder`, installs the pinned Python packages, and
/// returns the command. The program keeps its counts in `folder` as well.
///
/// # Errors
///
/// If there is no Python 3 with pip, or the folder cannot be written.
pub fn command(folder: &Path, url: &str) -> Result<Command> {
    let write = |name: &str, content: &[u8]| -> Result<PathBuf> {
        let path = folder.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    };
    write("messages.py", MESSAGES.as_bytes())?;
    let program = write("watcher.py", PROGRAM.as_bytes())?;
    let descriptors = write("market.fds.bin", DESCRIPTORS)?;
    let mut command = micro_testkit::python()?;
    command
        .arg(program)
        .env("NATS_URL", url)
        .env("MARKET_DESCRIPTORS", descriptors)
        .env("MARKET_COUNTS", folder.join("python.counts"));
    Ok(command)
}
