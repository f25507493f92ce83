//! Puts downloaded things under `target/tools`: once, whole or not at all, also when two processes
//! want the same thing at the same time.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// The folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where fetched tools live, whatever `CARGO_TARGET_DIR` says: they are the same for every build.
pub(crate) fn tools_dir() -> PathBuf {
    workspace_root().join("target").join("tools")
}

/// Makes the folder `destination` from what `fill` writes into an empty one, unless it exists.
///
/// A lock beside it lets a second process wait for the first; the rename at the end means that
/// nobody ever sees half of it.
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
    // Only the holder of the lock is here, so what lies there is from somebody who was killed.
    let partial = parent.join(partial_name(destination));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(cannot)?;
    }
    fs::create_dir(&partial).map_err(cannot)?;
    fill(&partial).inspect_err(|_| {
        // The next attempt removes it too; the reason of this failure is worth more.
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

/// Tells a person who waits what is going on.
pub(crate) fn progress(message: &str) {
    // The line is a courtesy; a closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "micro-testkit: {message}");
}

/// `python3`, or what `PYTHON` names.
pub(crate) fn python_command() -> Command {
    let fallback = if cfg!(windows) { "python" } else { "python3" };
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| fallback.into()))
}

/// Runs `python3 -m pip …` and shows its progress on standard error.
pub(crate) fn pip(doing: &str, args: &[&str], folder: &Path) -> Result<(), Error> {
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
            format!("cannot {doing}: it needs Python 3 with pip, but `{python}` did not start");
        Error::io(cannot, source)
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "cannot {doing}: `{python} -m pip` ended with {status} and says why above; it needs \
         Python 3 with pip (Debian: `apt install python3-pip`) and a package index it can reach"
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn many_at_once_install_one_thing_once() {
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
    fn a_failure_or_a_killed_installer_leaves_nothing_that_counts() {
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
