//! Python packages for tests of the wire from another language: pinned, installed once, apart from
//! whatever the machine's own Python has.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::install::{install, pip, progress, python_command, tools_dir};

/// All that tests import, with what those need; nothing else is resolved.
const PACKAGES: &[&str] = &["nats-py==2.16.0", "protobuf==7.36.2"];

/// Installs the pinned packages under `target/tools/python`, unless that was done before, and
/// returns the folder for `PYTHONPATH`.
///
/// # Errors
///
/// If there is no Python 3 with pip, or a package has no wheel for it.
pub fn python_packages() -> Result<PathBuf, Error> {
    let folder = tools_dir()
        .join("python")
        .join(folder_name(&interpreter()?));
    install(&folder, |filled| {
        progress(&format!("installing {} with pip", PACKAGES.join(", ")));
        let args = [
            "install",
            "--no-deps",
            "--only-binary=:all:",
            "--no-warn-script-location",
        ];
        let target = ["--target", "."];
        let doing = "install the Python packages of the tests";
        pip(doing, &[&args[..], &target[..], PACKAGES].concat(), filled)
    })?;
    Ok(folder)
}

/// `python3` with the pinned packages in reach and output that is not held back.
///
/// # Errors
///
/// As [`python_packages`].
pub fn python() -> Result<Command, Error> {
    let mut command = python_command();
    command
        .env("PYTHONPATH", python_packages()?)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Compiled packages fit one interpreter only, and a new pin must not find the old folder.
fn folder_name(interpreter: &str) -> String {
    let pins: Vec<String> = PACKAGES
        .iter()
        .map(|package| package.replace("==", "-"))
        .collect();
    format!("{interpreter}_{}", pins.join("_"))
}

/// As in `cpython-311-x86_64`.
fn interpreter() -> Result<String, Error> {
    const ASK: &str =
        "import platform, sys; print(sys.implementation.cache_tag, platform.machine(), sep='-')";
    let output = python_command()
        .args(["-c", ASK])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| {
            Error::io(
                "tests need Python 3 with pip, but it does not start",
                source,
            )
        })?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !name.is_empty() {
        return Ok(name);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::new(format!(
        "tests need Python 3 with pip, but it ended with {}: {complaint}",
        output.status
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_interpreter_and_one_set_of_pins() {
        let name = folder_name("cpython-311-x86_64");
        assert!(name.starts_with("cpython-311-x86_64_nats-py-2."), "{name}");
        assert!(!name.contains(['=', '/', ' ']), "{name}");
    }
}
