//! What a `build.rs` says. Options lie with their subject: `messages`, `services`, `files`.

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
use crate::patterns::{Pattern, Target, Use};
use crate::protoc::Protoc;

/// How `.proto` files become Rust code.
///
/// Options that take a path pick what they apply to as prost's do: `.` is everything, `.shop.v1` a
/// package, `.shop.v1.Order` a message or service with all that is inside, `.shop.v1.Order.id` a
/// field or method, and `Order.id`, without the dot in front, the end of any such path. A path that
/// picks nothing is an error that lists what there is.
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
    elsewhere: Vec<Pattern>,
    uses: Vec<Use>,
    runtime_path: String,
    renames: Vec<(Pattern, String)>,
    /// Attributes that prost is to write, by the option that they were given to.
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
    /// Everything is generated, into cargo's `OUT_DIR`.
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
            elsewhere: Vec::new(),
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

    /// Compiles `protos`, found below `includes`, and writes one Rust file for each package.
    ///
    /// What the files import is compiled too if they use its types. A file that exists below an
    /// include folder wins over those that come with this crate: `google/protobuf/*.proto` and
    /// `micro/v1/options.proto`.
    ///
    /// In a build script, Cargo receives a `rerun-if-changed` for each file that was read, imports
    /// included. Files below `OUT_DIR` are left out, since the script itself wrote them: print a
    /// `rerun-if-changed` for each file that they are made from. A run that reads no other file prints
    /// nothing, and Cargo's default applies: the script runs again when any file of the package changes.
    ///
    /// # Errors
    ///
    /// Fails if the files are not valid protobuf, if they cannot become services (our own checks
    /// report everything at once), if an option does nothing, or if nothing can be written.
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
        guarded(|| {
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

    /// Generates code for every file of a serialized `google.protobuf.FileDescriptorSet`, such as
    /// `protoc --include_imports -o` and `buf build` write. Bytes, since custom options would not
    /// survive as `prost_types::FileDescriptorSet`.
    ///
    /// Source information in the set (`--include_source_info`) gives comments and lines.
    ///
    /// The path of the set is not known here: a build script prints its own `rerun-if-changed` for it,
    /// as in the example, or leaves Cargo's default in force by printing nothing.
    ///
    /// # Errors
    ///
    /// Fails as [`compile`](Self::compile) does, and if the set is cut off or lacks an import.
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
        guarded(|| {
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

    fn picks(&mut self, option: &'static str, path: impl Into<String>, target: Target) -> Pattern {
        let pattern = Pattern::new(path);
        self.uses.push(Use {
            option,
            pattern: pattern.clone(),
            target,
        });
        pattern
    }
}

/// Makes an error of a panic: prost asserts what a set of descriptors by hand need not keep.
fn guarded(work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
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
