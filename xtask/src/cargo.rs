//! Runs cargo for a chore: shows the command, its time and its failure.

use std::process::Command;
use std::time::Instant;

use crate::Result;

/// The cargo that runs us, in the folder of the workspace.
///
/// Without what cargo says of *this* package: build scripts that watch such variables (ring's does)
/// would run again each time that a chore and a plain cargo command alternate.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(args)
        .current_dir(micro_testkit::workspace_root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs it with its output going where ours goes.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    eprintln!("$ {shown}");
    let begun = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    let time = begun.elapsed().as_secs_f32();
    if status.success() {
        eprintln!("  passed in {time:.1} s");
        return Ok(());
    }
    eprintln!("  failed in {time:.1} s ({status})");
    Err(format!("`{shown}` failed").into())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let args = command.get_args().map(|arg| arg.display().to_string());
    let words: Vec<String> = variables.chain(["cargo".to_owned()]).chain(args).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = cargo(&["doc", "--no-deps"]);
        command.env("RUSTDOCFLAGS", "-Dwarnings");
        assert_eq!(
            shown(&command),
            "RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps"
        );
    }

    #[test]
    fn a_failure_names_the_command() {
        let mut command = cargo(&["--no-such-flag"]);
        command.stderr(Stdio::null());
        let error = run(command).unwrap_err().to_string();
        assert_eq!(error, "`cargo --no-such-flag` failed");
    }
}
