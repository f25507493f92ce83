//! Installs downloads under `target/tools`: once and atomically, also when two processes install the
//! same one at the same time.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// Returns the folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Returns the folder of fetched tools. It ignores `CARGO_TARGET_DIR`, since every build uses the same
/// tools.
pub(crate) fn tools_dir() -> PathBuf {
    workspace_root().join("target").join("tools")
}

/// Creates the folder `destination` with the files that `fill` writes, unless it exists.
///
/// A lock file beside it lets a second process wait for the first. `fill` writes into another folder,
/// which is renamed at the end, so that no process sees a partial installation.
pub(crate) fn install(
    destination: &Path,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    if destination.exists() {
        return Ok(());
    }
    let cannot = |source| Error::io(format!("cannot install {}", destination.display()), source);
    let parent = destination.parent().unwrap_or(destination);
    fs::create_dir_all(parent).map_err(cannot)?;
    let lock = File::create(destination.with_added_extension("lock")).map_err(cannot)?;
    lock.lock().map_err(cannot)?;
    if destination.exists() {
        return Ok(());
    }
    // This process holds the lock, so an existing folder is left over from a process that was killed.
    let partial = parent.join(partial_name(destination));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(cannot)?;
    }
    fs::create_dir(&partial).map_err(cannot)?;
    fill(&partial).inspect_err(|_| {
        // The error of `fill` matters more than one of this removal, which the next attempt repeats.
        let _ = fs::remove_dir_all(&partial);
    })?;
    fs::rename(&partial, destination).map_err(cannot)
}

fn partial_name(destination: &Path) -> String {
    let name = destination
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    format!("{name}.partial")
}

/// Prints to standard error what a developer is waiting for.
pub(crate) fn print_progress(message: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "micro-testkit: {message}");
}

/// Returns a command of `python3`, or of the interpreter that `PYTHON` names.
pub(crate) fn python_command() -> Command {
    let fallback = if cfg!(windows) { "python" } else { "python3" };
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| fallback.into()))
}

/// Runs `python3 -m pip …` and shows its progress on standard error. `action` completes the error text
/// "cannot …".
pub(crate) fn pip(action: &str, args: &[&str], folder: &Path) -> Result<(), Error> {
    let mut command = python_command();
    command
        .args(["-m", "pip"])
        .args(args)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_NO_INPUT", "1")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    let python = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| {
        let cannot =
            format!("cannot {action}: it needs Python 3 with pip, but `{python}` did not start");
        Error::io(cannot, source)
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "cannot {action}: `{python} -m pip` ended with {status} and says why above; it needs \
         Python 3 with pip (Debian: `apt install python3-pip`) and a package index it can reach"
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn concurrent_installs_run_once() {
        let tools = tempfile::tempdir().unwrap();
        let destination = tools.path().join("thing-1.0");
        let filled = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    install(&destination, |folder| {
                        filled.fetch_add(1, Ordering::SeqCst);
                        fs::write(folder.join("file"), "whole").unwrap();
                        Ok(())
                    })
                    .unwrap();
                    assert_eq!(
                        fs::read_to_string(destination.join("file")).unwrap(),
                        "whole"
                    );
                });
            }
        });
        assert_eq!(filled.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn failed_and_killed_installs_leave_no_destination() {
        let tools = tempfile::tempdir().unwrap();
        let destination = tools.path().join("thing-1.0");
        let failed = install(&destination, |folder| {
            fs::write(folder.join("half"), "").unwrap();
            Err(Error::new("no network"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no network");
        assert!(!destination.exists());

        let left_behind = tools.path().join("thing-1.0.partial");
        fs::create_dir(&left_behind).unwrap();
        fs::write(left_behind.join("half"), "").unwrap();
        install(&destination, |folder| {
            fs::write(folder.join("file"), "whole").unwrap();
            Ok(())
        })
        .unwrap();
        assert!(destination.join("file").exists() && !destination.join("half").exists());
    }
}
