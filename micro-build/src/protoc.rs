//! Compiles `.proto` files with the user's protoc, for files that the built-in compiler does not read.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;

use crate::descriptor_set;
use crate::descriptors::FileSet;
use crate::error::{Error, ErrorKind};
use crate::proto_dir::proto_dir;

/// A protoc executable, and arguments besides files and include folders.
#[derive(Clone, Debug)]
pub(crate) struct Protoc {
    pub(crate) executable: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Protoc {
    /// Compiles `protos` and their imports, which are searched in `includes`.
    ///
    /// # Errors
    ///
    /// Fails if protoc cannot be run, or with the errors that it prints.
    pub(crate) fn compile(
        &self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<FileSet, Error> {
        let set = self.run(protos, includes)?;
        let requested: Vec<String> = protos
            .iter()
            .filter_map(|proto| imported_as(proto.as_ref(), includes))
            .collect();
        let is_requested = |name: &str| requested.iter().any(|requested| requested == name);
        let mut files = descriptor_set::read(set, is_requested)?;
        if let Some(name) = requested.iter().find(|name| !files.contains(name)) {
            let message =
                format!("protoc compiled no `{name}`; name files by their path below an include");
            return Err(Error::new(ErrorKind::Compile, message));
        }
        let from_environment = env::var_os("PROTOC_INCLUDE").map(PathBuf::from);
        files.locate(|name| {
            let includes = includes.iter().map(AsRef::as_ref);
            includes
                .chain(from_environment.as_deref())
                .map(|include| include.join(name))
                .find(|path| path.is_file())
        });
        Ok(files)
    }

    /// Runs protoc and returns the serialized `FileDescriptorSet` that it writes.
    fn run(
        &self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<Bytes, Error> {
        let failed = |message: String, error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("{message}: {error}")).with_source(error)
        };
        let folder = tempfile::tempdir()
            .map_err(|error| failed("cannot make a temporary folder".to_owned(), error))?;
        let set = folder.path().join("set.bin");
        let mut command = Command::new(&self.executable);
        command
            .args(["--include_imports", "--include_source_info", "-o"])
            .arg(&set);
        for include in includes {
            command.arg("-I").arg(include.as_ref());
        }
        if let Some(include) = env::var_os("PROTOC_INCLUDE") {
            command.arg("-I").arg(include);
        }
        command.arg("-I").arg(proto_dir()).args(&self.arguments);
        command.args(protos.iter().map(AsRef::as_ref));
        let name = self.executable.display();
        let output = command.output().map_err(|error| {
            failed(
                format!("cannot run `{name}`; give `Config::protoc` the path of a protoc"),
                error,
            )
        })?;
        if !output.status.success() {
            let printed = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(
                ErrorKind::Compile,
                format!("{name}: {}", printed.trim()),
            ));
        }
        let set =
            fs::read(&set).map_err(|error| failed(format!("`{name}` wrote nothing"), error))?;
        Ok(set.into())
    }
}

/// Returns the name by which protoc refers to the file at `path`.
///
/// The name is the path relative to the first include folder that contains the file, as in protoc.
fn imported_as(path: &Path, includes: &[impl AsRef<Path>]) -> Option<String> {
    let relative = includes.iter().find_map(|include| {
        let plain = |path: &Path| path.components().collect::<PathBuf>();
        let include = include
            .as_ref()
            .strip_prefix(".")
            .unwrap_or(include.as_ref());
        let path = path.strip_prefix(".").unwrap_or(path);
        plain(path)
            .strip_prefix(plain(include))
            .ok()
            .map(Path::to_owned)
    });
    let relative = relative.unwrap_or_else(|| path.to_owned());
    let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}
