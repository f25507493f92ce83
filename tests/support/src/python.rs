//! Python packages for tests of the protocol from another language: pinned, installed once, and separate
//! from the packages of the machine.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::install::{install, pip, print_progress, python_command, tools_dir};

/// Packages that tests import, with their dependencies; pip resolves no others. The third and those behind it are
/// betterproto's.
const PACKAGES: &[&str] = &[
    "nats-py==2.16.0",
    "protobuf==7.36.2",
    "betterproto==2.0.0b7",
    "grpclib==0.4.9",
    "python-dateutil==2.9.0.post0",
    "six==1.17.0",
    "typing-extensions==4.16.0",
];

/// Installs the pinned packages under `target/tools/python` unless they are there, and returns the folder
/// for `PYTHONPATH`.
///
/// # Errors
///
/// If there is no Python 3 with pip, or a package has no wheel for that interpreter.
pub fn python_packages() -> Result<PathBuf, Error> {
    let folder = tools_dir()
        .join("python")
        .join(folder_name(&interpreter()?));
    install(&folder, |filled| {
        print_progress(&format!("installing {} with pip", PACKAGES.join(", ")));
        let args = [
            "install",
            "--no-deps",
            "--only-binary=:all:",
            "--no-warn-script-location",
        ];
        let target = ["--target", "."];
        let action = "install the Python packages of the tests";
        pip(action, &[&args[..], &target[..], PACKAGES].concat(), filled)
    })?;
    Ok(folder)
}

/// Returns a command of `python3` with the pinned packages and unbuffered output.
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

/// Returns a folder name per interpreter and set of pins: compiled packages fit one interpreter only, and
/// changed pins need a new folder.
fn folder_name(interpreter: &str) -> String {
    let pins: Vec<String> = PACKAGES
        .iter()
        .map(|package| package.replace("==", "-"))
        .collect();
    format!("{interpreter}_{}", pins.join("_"))
}

/// Returns the interpreter, as in `cpython-311-x86_64`.
fn interpreter() -> Result<String, Error> {
    const PRINT_NAME: &str =
        "import platform, sys; print(sys.implementation.cache_tag, platform.machine(), sep='-')";
    let output = python_command()
        .args(["-c", PRINT_NAME])
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
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::new(format!(
        "tests need Python 3 with pip, but it ended with {}: {stderr}",
        output.status
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_name_has_the_interpreter_and_the_pins() {
        let name = folder_name("cpython-311-x86_64");
        assert!(name.starts_with("cpython-311-x86_64_nats-py-2."), "{name}");
        assert!(!name.contains(['=', '/', ' ']), "{name}");
    }
}
