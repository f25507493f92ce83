//! Configuration of code generation; the options are in `files`, `messages` and `services`.

mod files;
mod messages;
mod services;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::compiler;
use crate::descriptor_set;
use crate::descriptors::FileSet;
use crate::error::{Error, ErrorKind};
use crate::generator::generate;
use crate::output::{OutDir, print_rerun_rules, write};
use crate::patterns::{Pattern, PatternUse, Target};
use crate::protoc::Protoc;

/// Options of code generation, and the methods that run it.
///
/// Options that take a path select the elements that they apply to with prost's rules:
///
/// | path | matches |
/// |---|---|
/// | `.` | everything |
/// | `.shop.v1` | a package |
/// | `.shop.v1.Order` | a message or service with its contents |
/// | `.shop.v1.Order.id` | a field or method |
/// | `Order.id` | every path that ends in it, since it has no leading dot |
///
/// A path that matches nothing is an error, which lists the existing paths.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), micro_build::Error> {
/// micro_build::Config::new()
///     .bytes([".shop.v1.Picture.data"])
///     .message_attribute(".shop.v1", "#[derive(shop_derive::Audited)]")
///     .compile(&["proto/shop.proto"], &["proto"])
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is generated until `compile` is called"]
pub struct Config {
    prost: prost_build::Config,
    bytes: Vec<String>,
    btree_map: Vec<String>,
    without_comments: Vec<String>,
    extern_paths: Vec<Pattern>,
    uses: Vec<PatternUse>,
    runtime_path: String,
    renames: Vec<(Pattern, String)>,
    /// Attributes that prost writes: the option's name, the pattern, and the attribute's source.
    prost_attributes: Vec<(&'static str, Pattern, String)>,
    client: bool,
    server: bool,
    events: bool,
    trait_attributes: Vec<(Pattern, String)>,
    client_attributes: Vec<(Pattern, String)>,
    server_attributes: Vec<(Pattern, String)>,
    out_dir: Option<PathBuf>,
    include_file: Option<PathBuf>,
    file_descriptor_set_path: Option<PathBuf>,
    protoc: Option<PathBuf>,
    protoc_arguments: Vec<OsString>,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// Creates a configuration that generates messages, traits, clients, servers and events.
    ///
    /// The code is written to cargo's `OUT_DIR`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), micro_build::Error> {
    /// micro_build::Config::new().compile(&["proto/greeter.proto"], &["proto"])
    /// # }
    /// ```
    pub fn new() -> Self {
        Self {
            prost: prost_build::Config::new(),
            bytes: Vec::new(),
            btree_map: Vec::new(),
            without_comments: Vec::new(),
            extern_paths: Vec::new(),
            uses: Vec::new(),
            runtime_path: "::micro_runtime".to_owned(),
            renames: Vec::new(),
            prost_attributes: Vec::new(),
            client: true,
            server: true,
            events: true,
            trait_attributes: Vec::new(),
            client_attributes: Vec::new(),
            server_attributes: Vec::new(),
            out_dir: None,
            include_file: None,
            file_descriptor_set_path: None,
            protoc: None,
            protoc_arguments: Vec::new(),
        }
    }

    /// Compiles the files `protos` and writes one Rust file per protobuf package.
    ///
    /// Each path in `protos` is below one of the folders `includes`, or relative to one of them.
    /// Imported files are generated too if their types are used. `google/protobuf/*.proto` and
    /// `micro/v1/options.proto` come with this crate; a file of that name in an include folder takes
    /// precedence.
    ///
    /// In a build script, Cargo receives a `rerun-if-changed` for each file that was read, imports
    /// included. Files below `OUT_DIR` are left out, since the script itself wrote them: print a
    /// `rerun-if-changed` for each file that they are made from. A run that reads no other file prints
    /// nothing, and Cargo's default applies: the script runs again when any file of the package changes.
    ///
    /// # Errors
    ///
    /// Fails with
    ///
    /// - [`ErrorKind::Compile`] if a file is missing or is not valid protobuf;
    /// - [`ErrorKind::Check`] if a name, subject or option cannot be used; all of these problems are
    ///   reported at once;
    /// - [`ErrorKind::Config`] if an option of this type is invalid or matches nothing, or if `OUT_DIR`
    ///   is not set;
    /// - [`ErrorKind::Io`] if a file cannot be written, or protoc cannot be run;
    /// - [`ErrorKind::Internal`] if the generator panics.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), micro_build::Error> {
    /// micro_build::Config::new().compile(&["proto/a.proto", "proto/b.proto"], &["proto"])
    /// # }
    /// ```
    pub fn compile(
        self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<(), Error> {
        if protos.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "there is no .proto file to compile",
            ));
        }
        catch_panic(|| {
            let files = match &self.protoc {
                Some(executable) => {
                    let (executable, arguments) =
                        (executable.clone(), self.protoc_arguments.clone());
                    Protoc {
                        executable,
                        arguments,
                    }
                    .compile(protos, includes)?
                }
                None => compiler::compile(protos, includes)?,
            };
            self.generate(&files)
        })
    }

    /// Generates code for every file of a serialized `google.protobuf.FileDescriptorSet`.
    ///
    /// `protoc --include_imports -o` and `buf build` write such sets. The set is passed as bytes, since
    /// `prost_types::FileDescriptorSet` does not keep custom options. Comments and the line numbers in
    /// errors need source information in the set (`--include_source_info`).
    ///
    /// The path of the set is not known here: a build script prints its own `rerun-if-changed` for it,
    /// as in the example, or leaves Cargo's default in force by printing nothing.
    ///
    /// # Errors
    ///
    /// Fails as [`compile`](Self::compile) does, and with [`ErrorKind::Compile`] if the set is
    /// incomplete.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let set = std::fs::read("shop.fds.bin")?;
    /// println!("cargo:rerun-if-changed=shop.fds.bin");
    /// micro_build::Config::new().compile_descriptor_set(&set)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn compile_descriptor_set(self, set: &[u8]) -> Result<(), Error> {
        catch_panic(|| {
            let files = descriptor_set::read(Bytes::copy_from_slice(set), |_| true)?;
            self.generate(&files)
        })
    }

    fn generate(self, files: &FileSet) -> Result<(), Error> {
        print_rerun_rules(files);
        let out_dir = OutDir::find(self.out_dir.clone())?;
        let settings = self.settings()?;
        let include_file = self.include_file.clone();
        let file_descriptor_set_path = self.file_descriptor_set_path.clone();
        let generated = generate(files, self.into_prost(), &settings)?;
        out_dir.write(&generated.output)?;
        if let Some(path) = include_file {
            out_dir.write_include_file(&path, &generated)?;
        }
        file_descriptor_set_path.map_or(Ok(()), |path| write(&path, &files.encode()))
    }

    /// Records that `path` was given to `option`, so that a path that matches nothing is reported.
    fn add_pattern(
        &mut self,
        option: &'static str,
        path: impl Into<String>,
        target: Target,
    ) -> Pattern {
        let pattern = Pattern::new(path);
        self.uses.push(PatternUse {
            option,
            pattern: pattern.clone(),
            target,
        });
        pattern
    }
}

/// Compiles the files `protos` with the default [`Config`].
///
/// Each path in `protos` is below one of the folders `includes`, or relative to one of them. The code
/// is written to cargo's `OUT_DIR`, one file per protobuf package.
///
/// # Errors
///
/// Fails as [`Config::compile`] does.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), micro_build::Error> {
/// micro_build::compile(&["proto/greeter.proto"], &["proto"])
/// # }
/// ```
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    Config::new().compile(protos, includes)
}

/// Runs `work` and returns an error if it panics.
///
/// prost-build panics on descriptors that no compiler writes, but that a descriptor set can contain.
fn catch_panic(work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let message = format!(
            "the generator panicked: {}",
            text.unwrap_or("for no reason given")
        );
        Err(Error::new(ErrorKind::Internal, message))
    })
}
