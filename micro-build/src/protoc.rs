//! Runs the user's protoc, for what the built-in compiler does not read.

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

/// A protoc and what to tell it besides files and include folders.
#[derive(Clone, Debug)]
pub(crate) struct Protoc {
    pub(crate) executable: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Protoc {
    /// Compiles `protos` and what they import from `includes`.
    ///
    /// # Errors
    ///
    /// Fails if protoc cannot be run, or with what it says.
    pub(crate) fn compile(
        &self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<FileSet, Error> {
        let set = self.run(protos, includes)?;
        let named: Vec<String> = protos
            .iter()
            .filter_map(|proto| imported_as(proto.as_ref(), includes))
            .collect();
        let mut files = descriptor_set::read(set, |name| named.iter().any(|named| named == name))?;
        if let Some(name) = named.iter().find(|name| !files.has(name)) {
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
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(
                ErrorKind::Compile,
                format!("{name}: {}", said.trim()),
            ));
        }
        let set =
            fs::read(&set).map_err(|error| failed(format!("`{name}` wrote nothing"), error))?;
        Ok(set.into())
    }
}

/// The name under which protoc knows the file at `path`: relative to the first include that holds it.
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
