//! The programs of `tests/foreign`: their libraries are installed, and they are compiled, under `target/tools`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo::run;
use crate::failure::Result;
use crate::suites::tool::{Tool, Variables};

/// Version of the plugin that Maven copies libraries with.
const MAVEN_COPY: &str =
    "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies";

/// Go, and the programs of `tests/foreign/go`.
pub(crate) const GO: Tool = Tool { prepare: go };

/// A JDK with Maven, and the programs of `tests/foreign/java`.
pub(crate) const JAVA: Tool = Tool { prepare: java };

/// Node with npm, and the programs of `tests/foreign/ts`.
pub(crate) const NODE: Tool = Tool {
    prepare: typescript,
};

/// Compiles the programs in Go; `go.sum` pins their libraries.
fn go() -> Result<Variables> {
    require("go", &["version"], "install Go 1.26 or later")?;
    let programs = tools("foreign/go")?;
    let mut command = in_folder("go", "go");
    command
        .args(["build", "-o"])
        .arg(&programs)
        .arg("./...")
        .env("GOPATH", tools("go-path")?)
        .env("GOCACHE", tools("go-cache")?)
        // The cache of modules can be removed as any other file.
        .env("GOFLAGS", "-mod=readonly -modcacherw")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0");
    run(command)?;
    Ok(vec![("FOREIGN_GO", programs)])
}

/// Compiles the programs in Java; `pom.xml` pins their libraries.
fn java() -> Result<Variables> {
    require("javac", &["-version"], "install a JDK, 17 or later")?;
    require("mvn", &["--version"], "install Maven 3.8 or later")?;
    let folder = tools("foreign/java")?;
    // Libraries of other versions must not remain on the class path.
    fs::remove_dir_all(&folder)?;
    let (libraries, classes) = (folder.join("libraries"), folder.join("classes"));
    let mut copy = in_folder("mvn", "java");
    copy.args(["--quiet", "--batch-mode", MAVEN_COPY])
        .arg(property("maven.repo.local", &tools("maven")?))
        .arg(property("outputDirectory", &libraries));
    run(copy)?;
    let mut compile = in_folder("javac", "java");
    compile
        .arg("-d")
        .arg(&classes)
        .arg("-cp")
        .arg(libraries.join("*"))
        .args(sources("java", "java")?);
    run(compile)?;
    let class_path = std::env::join_paths([classes, libraries.join("*")])?;
    Ok(vec![("FOREIGN_JAVA", class_path.into())])
}

/// Compiles the programs in TypeScript; `package-lock.json` pins their libraries.
///
/// They are copied first: Node looks for libraries beside the file that imports them.
fn typescript() -> Result<Variables> {
    require("node", &["--version"], "install Node 20 or later")?;
    require("npm", &["--version"], "install npm 10 or later")?;
    let folder = tools("foreign/ts")?;
    for file in [sources("ts", "ts")?, sources("ts", "json")?].concat() {
        fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund", "--cache"]);
    install.arg(tools("npm")?).current_dir(&folder);
    run(install)?;
    let mut compile = Command::new("npm");
    compile.args(["run", "build"]).current_dir(&folder);
    run(compile)?;
    Ok(vec![("FOREIGN_TYPESCRIPT", folder)])
}

/// Fails with what to do if a program is not on `PATH`, or does not run.
fn require(program: &str, args: &[&str], remedy: &str) -> Result<()> {
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "`{program} {}` ended with {status}: {remedy}",
            args.join(" ")
        )
        .into()),
        Err(error) => Err(format!("`{program}` does not start ({error}): {remedy}").into()),
    }
}

/// Returns the command of a program that runs in a folder of `tests/foreign`.
fn in_folder(program: &str, folder: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(foreign(folder));
    command
}

fn foreign(folder: &str) -> PathBuf {
    micro_testkit::workspace_root()
        .join("tests/foreign")
        .join(folder)
}

/// Returns a folder under `target/tools`, which is made unless it exists.
fn tools(name: &str) -> Result<PathBuf> {
    let folder = micro_testkit::workspace_root()
        .join("target/tools")
        .join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Returns the files of a folder of `tests/foreign` with this extension.
fn sources(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(foreign(folder))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Returns an argument of Maven that sets a property to a path.
fn property(name: &str, value: &Path) -> String {
    format!("-D{name}={}", value.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_with_the_remedy() {
        let error = require("no-such-go", &["version"], "install Go 1.26 or later").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("`no-such-go` does not start (")
                && error.ends_with("): install Go 1.26 or later"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_the_remedy() {
        let error = require("false", &[], "install another")
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("exit status: 1: install another"),
            "{error}"
        );
    }

    #[test]
    fn every_language_pins_its_libraries() {
        for file in ["go/go.sum", "java/pom.xml", "ts/package-lock.json"] {
            assert!(foreign(file).is_file(), "{file}");
        }
    }
}
