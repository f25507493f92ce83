//! Valgrind from Debian's package, unpacked under `target/tools`: counting instructions needs nothing
//! installed on the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::install::{install, print_progress, tools_dir};

/// How to get it where it cannot be fetched.
const ADVICE: &str = "it is fetched with `apt-get download` and `dpkg-deb`, which needs Debian or one \
     of its kind and a package index (`apt-get update`)";

/// Downloads and unpacks valgrind under `target/tools/valgrind`, unless that was done before, and
/// returns the command that runs it.
///
/// # Errors
///
/// If there is no `apt-get` or no `dpkg-deb`, or the package cannot be downloaded.
pub fn valgrind() -> Result<Command, Error> {
    let folder = tools_dir().join("valgrind");
    install(&folder, |filled| {
        print_progress("fetching valgrind with apt-get");
        step(filled, "apt-get", &["download", "valgrind"])?;
        let package = package(filled)?;
        let name = package.display().to_string();
        step(filled, "dpkg-deb", &["--extract", &name, "."])?;
        std::fs::remove_file(package).map_err(|source| Error::io("cannot unpack valgrind", source))
    })?;
    // `usr/bin/valgrind` is a script that only sets a path for debug symbols.
    let mut command = Command::new(folder.join("usr/bin/valgrind.bin"));
    command.env("VALGRIND_LIB", folder.join("usr/libexec/valgrind"));
    Ok(command)
}

fn step(folder: &Path, program: &str, args: &[&str]) -> Result<(), Error> {
    let status = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|source| {
            Error::io(
                format!("cannot run {program} for valgrind; {ADVICE}"),
                source,
            )
        })?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::new(format!(
            "cannot install valgrind: `{program} {}` ended with {status}; {ADVICE}",
            args.join(" ")
        ))),
    }
}

/// The one package in the folder; its name has the version in it.
fn package(folder: &Path) -> Result<PathBuf, Error> {
    let cannot = |source| Error::io("cannot unpack valgrind", source);
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Ok(path);
        }
    }
    Err(Error::new("`apt-get download valgrind` left no package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_with_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let error = step(folder.path(), "no-such-apt-get", &[]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("cannot run no-such-apt-get for valgrind; ")
                && error.contains("dpkg-deb"),
            "{error}"
        );
    }

    #[test]
    fn a_failed_step_names_its_command() {
        let folder = tempfile::tempdir().unwrap();
        let error = step(folder.path(), "false", &["download"]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("cannot install valgrind: `false download` ended with "),
            "{error}"
        );
    }

    #[test]
    fn a_folder_without_a_package_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(package(folder.path()).is_err());
        std::fs::write(folder.path().join("valgrind_3.deb"), "").unwrap();
        assert!(package(folder.path()).is_ok());
    }
}
