//! Counts instructions per operation with callgrind: the sources in `bench/instructions` are built
//! against each revision, so that the two programs differ in nothing but the runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::against::revision::Checkout;
use crate::against::row::Row;
use crate::failure::Result;

/// First part of the names of the rows.
pub(crate) const PREFIX: &str = "instructions";

/// Operations of `micro-instructions`.
const OPERATIONS: [&str; 6] = [
    "unary",
    "unary-64",
    "open-stream",
    "server-streaming",
    "client-streaming",
    "event",
];

/// How often an operation is done in the shorter and in the longer run; whole batches of 64.
const COUNTS: [u64; 2] = [1024, 3072];

/// Runs of each, of which the one with the fewest instructions counts: keys of hash maps are random,
/// and what they cost beyond the least is chance.
const RUNS: usize = 3;

/// The sources, below the workspace.
const SOURCES: &str = "bench/instructions";

/// Returns the operations whose rows begin with `prefix`.
pub(crate) fn chosen(prefix: &str) -> Vec<&'static str> {
    let mut chosen = OPERATIONS.to_vec();
    chosen.retain(|operation| format!("{PREFIX}/{operation}").starts_with(prefix));
    chosen
}

/// Returns whether `prefix` leaves out every timed row.
pub(crate) fn leaves_only_counts(prefix: &str) -> bool {
    prefix.starts_with(PREFIX)
}

/// Builds the program against the runtime of a revision.
pub(crate) fn build_program(checkout: &Checkout) -> Result<PathBuf> {
    let sources = micro_testkit::workspace_root().join(SOURCES);
    let folder = checkout.root.join("target").join("instructions");
    for part in ["proto", "src"] {
        copy_files(&sources.join(part), &folder.join(part))?;
    }
    write_changed(
        &folder.join("build.rs"),
        &fs::read(sources.join("build.rs"))?,
    )?;
    write_changed(
        &folder.join("Cargo.toml"),
        manifest(&checkout.root).as_bytes(),
    )?;
    // The versions that the revision was built with; cargo removes those that are not needed.
    fs::copy(checkout.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    checkout.build(&folder, &[], "micro-instructions")
}

/// Counts an operation in both programs.
pub(crate) fn count(operation: &str, before: &Path, after: &Path) -> Result<Row> {
    let before = per_operation(before, operation)?;
    let after = per_operation(after, operation)?;
    Ok(Row::counted(format!("{PREFIX}/{operation}"), before, after))
}

/// Two runs of different lengths differ by the operations only, not by the start of the program.
fn per_operation(program: &Path, operation: &str) -> Result<f64> {
    let [short, long] = COUNTS;
    let more = fewest(program, operation, long)? - fewest(program, operation, short)?;
    Ok(more / (long - short) as f64)
}

fn fewest(program: &Path, operation: &str, count: u64) -> Result<f64> {
    let mut fewest = f64::INFINITY;
    for _ in 0..RUNS {
        fewest = fewest.min(instructions(program, operation, count)?);
    }
    Ok(fewest)
}

fn instructions(program: &Path, operation: &str, count: u64) -> Result<f64> {
    let output = micro_testkit::valgrind()?
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([operation, &count.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    match collected(&text) {
        Some(instructions) if output.status.success() => Ok(instructions),
        _ => {
            let program = program.display();
            Err(format!("`{program} {operation} {count}` failed under callgrind:\n{text}").into())
        }
    }
}

/// Reads the line that callgrind writes at its end, as in `==7830== Collected : 17973298`.
fn collected(text: &str) -> Option<f64> {
    let (_, number) = text.rsplit_once(" Collected : ")?;
    number.split_whitespace().next()?.parse().ok()
}

/// Returns a manifest whose runtime and generator are those of a revision.
fn manifest(root: &Path) -> String {
    let path = |name: &str| root.join(name).display().to_string();
    let (runtime, build) = (path("micro-runtime"), path("micro-build"));
    format!(
        r#"[workspace]
[package]
name = "micro-instructions"
edition = "2024"
[dependencies]
futures-util = {{ version = "0.3", default-features = false, features = ["std"] }}
micro-runtime = {{ path = {runtime:?} }}
tokio = {{ version = "1", features = ["macros", "rt", "sync", "time"] }}
[build-dependencies]
micro-build = {{ path = {build:?} }}
"#
    )
}

/// Copies the files of a folder; unchanged ones are left alone, so that nothing is built again.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let source = entry?.path();
        let destination = to.join(source.file_name().unwrap_or_default());
        write_changed(&destination, &fs::read(&source)?)?;
    }
    Ok(())
}

/// Writes a file, unless it has this content: its time decides whether cargo runs the build script again.
fn write_changed(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).ok().as_deref() != Some(content) {
        fs::write(file, content)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "instructions_tests.rs"]
mod tests;
