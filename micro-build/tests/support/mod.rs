//! Compiles sources that a test writes down, in a folder of their own.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::fs;
use std::path::Path;

use micro_build::{Config, Error};
use tempfile::TempDir;

/// A folder with `.proto` files, and one for what is generated from them.
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

    /// What was generated under this name.
    pub(crate) fn output(&self, name: &str) -> String {
        let path = self.path("out").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The text of an error, without what differs from run to run.
    pub(crate) fn text(&self, error: &Error) -> String {
        error
            .to_string()
            .replace(&*self.folder.path().to_string_lossy(), "$DIR")
    }
}

/// Compiles one file of proto3 and returns the code of its package `test`.
pub(crate) fn code_of(source: &str, config: Config) -> String {
    let project = Project::new(&[("test.proto", &proto3(source))]);
    project
        .compile(&["test.proto"], config)
        .unwrap_or_else(|error| panic!("{error}"));
    project.output("test.rs")
}

/// Compiles one file of proto3 that must not compile, and returns the error.
pub(crate) fn error_of(source: &str, config: Config) -> String {
    let project = Project::new(&[("test.proto", &proto3(source))]);
    let error = project
        .compile(&["test.proto"], config)
        .expect_err("an error");
    project.text(&error)
}

/// A file of package `test`; `source` begins on its third line.
pub(crate) fn proto3(source: &str) -> String {
    format!(
        "syntax = \"proto3\"; package test;\n\n{}",
        source.trim_start()
    )
}

/// A folder that stays as long as the test runs.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Every file below `folder`, by name.
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
