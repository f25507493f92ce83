//! Compiles the sources of a test in a temporary folder.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::fs;
use std::path::Path;

use micro_build::{Config, Error};
use tempfile::TempDir;

/// Folder `proto` with `.proto` files, and folder `out` for the generated files.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("out")).unwrap();
        for (name, source) in files {
            let path = folder.path().join("proto").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, source).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Compiles the files `names`.
    pub(crate) fn compile(&self, names: &[&str], config: Config) -> Result<(), Error> {
        let protos: Vec<_> = names
            .iter()
            .map(|name| self.path("proto").join(name))
            .collect();
        config
            .out_dir(self.path("out"))
            .compile(&protos, &[self.path("proto")])
    }

    /// Returns the generated file `name`.
    pub(crate) fn output(&self, name: &str) -> String {
        let path = self.path("out").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the text of an error, with `$DIR` for the path of the temporary folder.
    pub(crate) fn text(&self, error: &Error) -> String {
        error
            .to_string()
            .replace(&*self.folder.path().to_string_lossy(), "$DIR")
    }
}

/// Compiles a proto3 source and returns the code of its package `test`.
pub(crate) fn code_of(source: &str, config: Config) -> String {
    let project = Project::new(&[("test.proto", &proto3(source))]);
    project
        .compile(&["test.proto"], config)
        .unwrap_or_else(|error| panic!("{error}"));
    project.output("test.rs")
}

/// Compiles an invalid proto3 source and returns the error.
pub(crate) fn error_of(source: &str, config: Config) -> String {
    let project = Project::new(&[("test.proto", &proto3(source))]);
    let error = project
        .compile(&["test.proto"], config)
        .expect_err("an error");
    project.text(&error)
}

/// Returns a file of package `test`, in which `source` begins on line 3.
pub(crate) fn proto3(source: &str) -> String {
    format!(
        "syntax = \"proto3\"; package test;\n\n{}",
        source.trim_start()
    )
}

/// Creates a temporary folder, which is removed when the value is dropped.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Returns the content of every file in `folder`, by name.
pub(crate) fn contents(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}
