//! Runs a command of a chore: prints it, its duration and its failure.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::failure::Result;

/// Returns the cargo that runs this program, in the folder of the workspace.
///
/// The variables that cargo sets for *this* package are removed: build scripts that watch them
/// (ring's does) would run again whenever a chore and a plain cargo command alternate.
pub(crate) fn cargo<A: AsRef<str>>(args: &[A]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(args.iter().map(AsRef::as_ref))
        .current_dir(micro_testkit::workspace_root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs it with the output of this program.
pub(crate) fn run(command: Command) -> Result<()> {
    supervise(command, |command| Ok(command.status()?))
}

/// Runs it and passes each line of its standard output to `each`; standard error is this program's.
pub(crate) fn read_output(command: Command, each: impl FnMut(&str)) -> Result<()> {
    supervise(command, |command| {
        let (reader, writer) = std::io::pipe()?;
        let child = command.stdout(writer).spawn()?;
        forward(reader, child, command, each)
    })
}

/// Runs it and passes each line of its standard output and standard error to `each`, in the order in
/// which they were written.
pub(crate) fn read_all_output(command: Command, each: impl FnMut(&str)) -> Result<()> {
    supervise(command, |command| {
        let (reader, writer) = std::io::pipe()?;
        let child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
        forward(reader, child, command, each)
    })
}

/// Reads until the last process with the other end of the pipe has ended.
fn forward(
    reader: PipeReader,
    mut child: Child,
    command: &mut Command,
    mut each: impl FnMut(&str),
) -> Result<ExitStatus> {
    // The command keeps copies of the writing end, with which the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        each(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
    Ok(child.wait()?)
}

fn supervise(
    mut command: Command,
    status: impl FnOnce(&mut Command) -> Result<ExitStatus>,
) -> Result<()> {
    let shown = shown(&command);
    eprintln!("$ {shown}");
    let begun = Instant::now();
    let status =
        status(&mut command).map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    let time = begun.elapsed().as_secs_f32();
    if status.success() {
        eprintln!("  passed in {time:.1} s");
        return Ok(());
    }
    eprintln!("  failed in {time:.1} s ({status})");
    Err(format!("`{shown}` failed").into())
}

/// Returns the command line as one would type it.
fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let program = std::path::Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(command.get_program());
    let args = command.get_args().map(|arg| arg.display().to_string());
    let words: Vec<String> = variables
        .chain([program.display().to_string()])
        .chain(args)
        .collect();
    words.join(" ")
}

#[cfg(test)]
#[path = "cargo_tests.rs"]
mod tests;
