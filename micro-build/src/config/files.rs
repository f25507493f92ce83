//! Options that select the input compiler and the output files.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Config;

impl Config {
    /// Writes the generated files to `folder`, which has to exist.
    ///
    /// Default: cargo's `OUT_DIR`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().out_dir("src/generated");
    /// ```
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Also writes the file `name`, which includes the code of all packages as nested modules.
    ///
    /// Packages that use each other's types need nested modules, since prost refers to a type of
    /// another package by a relative path through the module tree. Default: no such file.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().include_file("protos.rs");
    /// // In the code: micro_runtime::include_proto!("protos");
    /// ```
    pub fn include_file(mut self, name: impl Into<PathBuf>) -> Self {
        self.include_file = Some(name.into());
        self
    }

    /// Also writes the descriptors of all files to `path`.
    ///
    /// The file is a serialized `google.protobuf.FileDescriptorSet` with imports and source
    /// information. A relative `path` is relative to the current directory, which is the folder of
    /// the crate in a build script. Default: no such file.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().file_descriptor_set_path("target/shop.fds.bin");
    /// ```
    pub fn file_descriptor_set_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.file_descriptor_set_path = Some(path.into());
        self
    }

    /// Compiles with the protoc at `executable` instead of the built-in compiler.
    ///
    /// Files with an `edition` need protoc, since the built-in compiler does not read them. The folder
    /// of `micro/v1/options.proto` is passed to protoc as an include folder, and so is
    /// `PROTOC_INCLUDE` if that environment variable is set. Default: the built-in compiler.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().protoc("protoc");
    /// ```
    pub fn protoc(mut self, executable: impl Into<PathBuf>) -> Self {
        self.protoc = Some(executable.into());
        self
    }

    /// Passes `argument` to the protoc of [`protoc`](Self::protoc).
    ///
    /// Has no effect without `protoc`. Can be called more than once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().protoc("protoc").protoc_arg("--experimental_editions");
    /// ```
    pub fn protoc_arg(mut self, argument: impl Into<OsString>) -> Self {
        self.protoc_arguments.push(argument.into());
        self
    }
}
