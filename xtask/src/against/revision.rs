//! A checkout of an earlier revision, kept under `target/against` together with what is built of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo::{cargo, run};
use crate::failure::Result;

/// Maximum number of files that a note about uncommitted changes names.
const MAX_SHOWN_FILES: usize = 5;

/// A state of the sources, in a folder.
#[derive(Debug)]
pub(crate) struct Checkout {
    /// Short hash of the commit, or `now`.
    pub(crate) name: String,
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
}

impl Checkout {
    /// Returns the working tree, with all that is not committed.
    pub(crate) fn working_tree() -> Self {
        Self {
            name: "now".to_owned(),
            root: micro_testkit::workspace_root(),
        }
    }

    /// Checks a revision out, unless that was done before.
    ///
    /// # Errors
    ///
    /// If git does not know the revision.
    pub(crate) fn of(revision: &str) -> Result<Self> {
        let main = micro_testkit::workspace_root();
        let commit = format!("{revision}^{{commit}}");
        let hash = git(&main, &["rev-parse", "--verify", "--quiet", &commit])
            .map_err(|_| format!("git knows no revision `{revision}`"))?;
        let name = git(&main, &["rev-parse", "--short", &hash])?;
        let root = main.join("target").join("against").join(&name);
        let is_there = root.join(".git").is_file() && git(&root, &["rev-parse", "HEAD"])? == hash;
        if !is_there {
            let path = root.display().to_string();
            // --force: git still lists a checkout whose folder was deleted.
            let flags = ["worktree", "add", "--detach", "--force"];
            git(&main, &[&flags[..], &[&path, &hash]].concat())?;
        }
        Ok(Self { name, root })
    }

    /// Returns a note that names the files which differ from the commit that is checked out, if any do: they
    /// are measured as they are.
    ///
    /// # Errors
    ///
    /// If git fails.
    pub(crate) fn uncommitted(&self) -> Result<Option<String>> {
        let status = git(&self.root, &["status", "--porcelain"])?;
        let files: Vec<&str> = status.lines().filter_map(changed_file).collect();
        Ok(uncommitted_note(&self.name, &files))
    }

    /// Builds the benchmarks in release mode and returns the path of their program.
    pub(crate) fn build_benchmarks(&self) -> Result<PathBuf> {
        let args = ["--locked", "--package", "micro-bench"];
        self.build(&self.root, &args, "micro-bench")
    }

    /// Builds a workspace in release mode, in the target folder of the checkout, and returns the path
    /// of a program.
    pub(crate) fn build(&self, workspace: &Path, args: &[&str], program: &str) -> Result<PathBuf> {
        let target = self.root.join("target");
        let mut command = cargo(&[&["build", "--release"], args].concat());
        command
            .current_dir(workspace)
            .env("CARGO_TARGET_DIR", &target);
        run(command)?;
        let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
        Ok(target.join("release").join(file))
    }
}

/// Returns the path in a line of `git status --porcelain`, as in ` M xtask/src/main.rs`; the first line may
/// have lost its space.
fn changed_file(line: &str) -> Option<&str> {
    line.trim_start()
        .split_once(' ')
        .map(|(_, path)| path.trim())
}

fn uncommitted_note(name: &str, files: &[&str]) -> Option<String> {
    let shown = files.get(..MAX_SHOWN_FILES).unwrap_or(files).join(", ");
    match files.len().checked_sub(MAX_SHOWN_FILES) {
        _ if files.is_empty() => None,
        None | Some(0) => Some(format!(
            "note: `{name}` is built with uncommitted changes in {shown}"
        )),
        Some(more) => Some(format!(
            "note: `{name}` is built with uncommitted changes in {shown} and {more} more"
        )),
    }
}

fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let shown = format!("git {}", args.join(" "));
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("`{shown}` failed: {complaint}").into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncommitted_files_are_named() {
        let check = |status: &str, expected: Option<&str>| {
            let files: Vec<&str> = status.lines().filter_map(changed_file).collect();
            let note = uncommitted_note("now", &files);
            assert_eq!(note.as_deref(), expected, "{status}");
        };
        check("", None);
        check(
            "M a.rs\n?? b.rs\n D c/d.rs",
            Some("note: `now` is built with uncommitted changes in a.rs, b.rs, c/d.rs"),
        );
        check(
            " M 1\n M 2\n M 3\n M 4\n M 5\n M 6\n M 7",
            Some("note: `now` is built with uncommitted changes in 1, 2, 3, 4, 5 and 2 more"),
        );
    }
}
