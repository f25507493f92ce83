//! What a build script tells cargo: the files really used, so that neither too much nor too little
//! is built again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod support;

use std::env;
use std::fs;
use std::process::Command;

use support::Project;

/// Set for the process that plays the build script.
const FOLDER: &str = "MICRO_BUILD_TEST_FOLDER";

/// The build script: does nothing unless `told` runs it.
#[test]
fn build_script() {
    if let Some(folder) = env::var_os(FOLDER) {
        let proto = std::path::Path::new(&folder).join("proto");
        micro_build::compile(&[proto.join("a.proto")], &[proto]).unwrap();
    }
}

/// The lines for cargo that a build script in `project` prints under these variables.
fn told(project: &Project, variables: &[&str]) -> Vec<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["build_script", "--exact", "--nocapture"]);
    command
        .env(FOLDER, project.path(""))
        .env("OUT_DIR", project.path("out"));
    for variable in ["HOST", "TARGET"] {
        command.env_remove(variable);
    }
    for variable in variables {
        command.env(variable, "x86_64-unknown-linux-gnu");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let folder = project.path("").display().to_string();
    // The harness writes the name of the test in front of the first line.
    let lines = printed
        .lines()
        .filter_map(|line| Some(&line[line.find("cargo:")?..]));
    lines.map(|line| line.replace(&folder, "")).collect()
}

fn project() -> Project {
    Project::new(&[
        (
            "a.proto",
            "syntax = \"proto3\"; import \"b/c.proto\"; import \"micro/v1/options.proto\";
             import \"google/protobuf/empty.proto\"; message A { C c = 1; }",
        ),
        ("b/c.proto", "syntax = \"proto3\"; message C {}"),
        ("unused.proto", "syntax = \"proto3\"; message Unused {}"),
    ])
}

#[test]
fn each_file_that_is_used_is_named_and_no_other() {
    assert_eq!(
        told(&project(), &["HOST", "TARGET"]),
        [
            "cargo:rerun-if-env-changed=PROTOC_INCLUDE",
            "cargo:rerun-if-changed=proto/a.proto",
            "cargo:rerun-if-changed=proto/b/c.proto",
        ]
    );
}

#[test]
fn nothing_is_printed_where_cargo_does_not_listen() {
    assert_eq!(told(&project(), &[]), [""; 0]);
}

#[test]
fn what_is_right_already_is_not_written_again() {
    let project = project();
    told(&project, &[]);
    let out = project.path("out/_.rs");
    let written = fs::metadata(&out).unwrap().modified().unwrap();
    told(&project, &[]);
    assert_eq!(fs::metadata(&out).unwrap().modified().unwrap(), written);
}
