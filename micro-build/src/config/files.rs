//! Options on what is read and written.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Config;

impl Config {
    /// Writes to `folder`, which has to exist, instead of cargo's `OUT_DIR`.
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

    /// Also writes a file that includes those of all packages, as modules inside of modules. Types
    /// of one package that another one uses are found without further ado.
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

    /// Also writes the descriptors of all files, with imports and source information, as a
    /// serialized `google.protobuf.FileDescriptorSet`.
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

    /// Compiles with this protoc instead of the built-in compiler, which does not read files with
    /// `edition`. protoc finds `micro/v1/options.proto` by itself; `PROTOC_INCLUDE`, if set, is one
    /// more include folder.
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

    /// Gives `argument` to the protoc of [`protoc`](Self::protoc).
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
