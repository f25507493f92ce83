//! Writes generated files, and prints the rules by which Cargo runs the build script again.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::descriptors::FileSet;
use crate::error::{Error, ErrorKind};

/// Content of the generated files, by file name.
pub(crate) type Output = BTreeMap<String, Vec<u8>>;

/// Folder for generated files.
pub(crate) struct OutDir {
    path: PathBuf,
    /// Whether it is cargo's `OUT_DIR`, whose path can only be written as `env!("OUT_DIR")`.
    pub(crate) is_cargo_out_dir: bool,
}

impl OutDir {
    /// Returns the folder `chosen`, or else cargo's `OUT_DIR`.
    ///
    /// # Errors
    ///
    /// Fails if `chosen` is `None` and `OUT_DIR` is not set.
    pub(crate) fn find(chosen: Option<PathBuf>) -> Result<Self, Error> {
        if let Some(path) = chosen {
            return Ok(Self {
                path,
                is_cargo_out_dir: false,
            });
        }
        let path = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| {
            let message =
                "`OUT_DIR` is not set; call this from a build.rs, or set `Config::out_dir`";
            Error::new(ErrorKind::Config, message)
        })?;
        Ok(Self {
            path,
            is_cargo_out_dir: true,
        })
    }

    pub(crate) fn write(&self, output: &Output) -> Result<(), Error> {
        output
            .iter()
            .try_for_each(|(name, content)| self.write_file(Path::new(name), content))
    }

    pub(crate) fn write_file(&self, name: &Path, content: &[u8]) -> Result<(), Error> {
        write(&self.path.join(name), content)
    }
}

/// Writes a file, unless it already has this content.
///
/// A new modification time would make cargo rebuild the crate that includes the file.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    fs::write(path, content).map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Error::new(ErrorKind::Io, message).with_source(error)
    })
}

/// Prints the rules by which Cargo runs the build script again: one for each input file of the run, and
/// none for a folder, which would rebuild a workspace for every file in it.
///
/// A file below `OUT_DIR` is not an input. The build script wrote it, so it is always newer than the
/// start of that run, and a rule for it would make Cargo run the script on every build.
#[expect(
    clippy::print_stdout,
    reason = "cargo reads instructions from the standard output of a build script"
)]
pub(crate) fn print_rerun_rules(files: &FileSet) {
    let is_unset = |name: &&str| env::var_os(name).is_none();
    let Some(out_dir) = env::var_os("OUT_DIR").filter(|_| !["HOST", "TARGET"].iter().any(is_unset))
    else {
        return;
    };
    let out_dir = resolved(Path::new(&out_dir));
    let paths = files.files().filter_map(|file| file.path.as_deref());
    let inputs: Vec<&Path> = paths
        .filter(|path| !resolved(path).starts_with(&out_dir))
        .collect();
    // The first rule of a script turns off Cargo's default, a rule for each file of the package. The
    // inputs of a run without input files are known to the script only, so the default must stay.
    if inputs.is_empty() {
        return;
    }
    println!("cargo:rerun-if-env-changed=PROTOC_INCLUDE");
    for path in inputs {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// Returns `path` without symbolic links and relative parts, or unchanged if it does not exist.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
