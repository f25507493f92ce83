//! When Cargo runs a build script again: the rules that micro-build prints, and their effect on a crate.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use micro_build::Config;
use support::Project;

/// Variable with the files to compile, as a list of paths. Set in a process that acts as build script.
const PROTOS: &str = "MICRO_BUILD_TEST_PROTOS";

/// Variable with the include folders, as a list of paths.
const INCLUDES: &str = "MICRO_BUILD_TEST_INCLUDES";

/// Variable with the protoc to compile with, instead of the built-in compiler.
const PROTOC: &str = "MICRO_BUILD_TEST_PROTOC";

/// Variables by which micro-build recognizes a build script, besides `OUT_DIR`.
const CARGO: [&str; 2] = ["HOST", "TARGET"];

/// Acts as the build script if another test starts it, and does nothing otherwise.
#[test]
fn build_script() {
    let paths = |name| env::split_paths(&env::var_os(name).unwrap()).collect::<Vec<_>>();
    if env::var_os(PROTOS).is_some() {
        let mut config = Config::new();
        if let Some(protoc) = env::var_os(PROTOC) {
            config = config.protoc(protoc);
        }
        config.compile(&paths(PROTOS), &paths(INCLUDES)).unwrap();
    }
}

fn list(paths: &[PathBuf]) -> OsString {
    env::join_paths(paths).unwrap()
}

/// Parameters of a run of `build_script` in a process of its own.
struct Run<'a> {
    project: &'a Project,
    protos: &'a [&'a str],
    includes: &'a [&'a str],
    out_dir: &'a str,
}

impl<'a> Run<'a> {
    fn new(project: &'a Project) -> Self {
        Self {
            project,
            protos: &["proto/a.proto"],
            includes: &["proto"],
            out_dir: "out",
        }
    }

    /// Runs it with these environment variables, and returns the lines that it prints for Cargo.
    fn printed(&self, variables: &[(&str, OsString)]) -> Vec<String> {
        let paths = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| self.project.path(name)).collect();
            list(&paths)
        };
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["build_script", "--exact", "--nocapture"])
            .env(PROTOS, paths(self.protos))
            .env(INCLUDES, paths(self.includes))
            .env("OUT_DIR", self.project.path(self.out_dir));
        for variable in CARGO {
            command.env_remove(variable);
        }
        command.env_remove("PROTOC_INCLUDE");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let folder = self.project.path("").display().to_string();
        // The test harness prints the name of the test before the first line.
        let lines = printed
            .lines()
            .filter_map(|line| Some(&line[line.find("cargo:")?..]));
        lines.map(|line| line.replace(&folder, "")).collect()
    }

    fn printed_for_cargo(&self) -> Vec<String> {
        self.printed(&CARGO.map(|name| (name, "x86_64-unknown-linux-gnu".into())))
    }
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
fn a_rule_is_printed_for_each_used_file_only() {
    assert_eq!(
        Run::new(&project()).printed_for_cargo(),
        [
            "cargo:rerun-if-env-changed=PROTOC_INCLUDE",
            "cargo:rerun-if-changed=proto/a.proto",
            "cargo:rerun-if-changed=proto/b/c.proto",
        ]
    );
}

#[test]
fn a_rule_is_printed_for_a_file_found_through_protoc_include() {
    let project = project();
    fs::create_dir(project.path("more")).unwrap();
    fs::rename(project.path("proto/b"), project.path("more/b")).unwrap();
    let protoc = protoc_bin_vendored::protoc_bin_path().unwrap();
    let mut variables = CARGO
        .map(|name| (name, "x86_64-unknown-linux-gnu".into()))
        .to_vec();
    variables.push((PROTOC, protoc.into()));
    variables.push(("PROTOC_INCLUDE", project.path("more").into()));
    let google = protoc_bin_vendored::include_path().unwrap();
    fs::create_dir_all(project.path("google/google/protobuf")).unwrap();
    for name in [
        "google/protobuf/empty.proto",
        "google/protobuf/descriptor.proto",
    ] {
        fs::copy(google.join(name), project.path("google").join(name)).unwrap();
    }
    let run = Run {
        includes: &["proto", "google"],
        ..Run::new(&project)
    };
    let printed = run.printed(&variables);
    let named = "cargo:rerun-if-changed=more/b/c.proto".to_owned();
    assert!(printed.contains(&named), "{printed:?}");
}

#[test]
fn nothing_is_printed_outside_of_a_build_script() {
    assert_eq!(Run::new(&project()).printed(&[]), [""; 0]);
}

/// Cargo compares files with the start of the build script, which is older than the files that the
/// script writes.
#[test]
fn no_rule_is_printed_for_a_file_below_out_dir() {
    // The path of the file to compile, the path of its import, and the path that a rule is printed for.
    let cases = [
        ("out/made/a.proto", "out/made/b/c.proto", None),
        ("proto/a.proto", "out/made/b/c.proto", Some("proto/a.proto")),
        (
            "out/made/a.proto",
            "proto/b/c.proto",
            Some("proto/b/c.proto"),
        ),
        // A folder whose name has the name of `OUT_DIR` as a prefix.
        (
            "output/a.proto",
            "out/made/b/c.proto",
            Some("output/a.proto"),
        ),
    ];
    for (a, c, named) in cases {
        let project = Project::new(&[]);
        for folder in ["proto", "output", "out/made"] {
            fs::create_dir_all(project.path(folder)).unwrap();
        }
        let source = "syntax = \"proto3\"; import \"b/c.proto\"; message A { C c = 1; }";
        write(&project.path(a), source);
        write(&project.path(c), "syntax = \"proto3\"; message C {}");
        let expected = named.map(|path| {
            [
                "cargo:rerun-if-env-changed=PROTOC_INCLUDE".to_owned(),
                format!("cargo:rerun-if-changed={path}"),
            ]
        });
        let expected: Vec<String> = expected.into_iter().flatten().collect();
        for out_dir in ["out", "proto/../out"] {
            let run = Run {
                protos: &[a],
                includes: &["proto", "output", "out/made"],
                out_dir,
                ..Run::new(&project)
            };
            let printed = run.printed_for_cargo();
            assert_eq!(printed, expected, "{a} imports {c}, with {out_dir}");
        }
    }
}

#[test]
fn an_unchanged_file_is_not_written_again() {
    let project = project();
    Run::new(&project).printed(&[]);
    let out = project.path("out/_.rs");
    let written = fs::metadata(&out).unwrap().modified().unwrap();
    Run::new(&project).printed(&[]);
    assert_eq!(fs::metadata(&out).unwrap().modified().unwrap(), written);
}

/// A crate whose build script writes `template.txt` to `made.proto` in `OUT_DIR`, whether it changed
/// or not, and lets `build_script` compile that.
struct Crate {
    project: Project,
}

impl Crate {
    fn new(template: &str) -> Self {
        let project = Project::new(&[("c.proto", "syntax = \"proto3\"; package c; message C {}")]);
        let probe = Self { project };
        probe.write(
            "crate/Cargo.toml",
            "[package]\nname = \"probe\"\nedition = \"2024\"\n[workspace]\n",
        );
        probe.write("crate/template.txt", template);
        probe.write(
            "crate/src/lib.rs",
            "pub const CODE: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\n",
        );
        let script = format!(
            r#"
            fn main() {{
                let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
                let proto = out.join("made.proto");
                std::fs::copy("template.txt", &proto).unwrap();
                let includes = std::env::join_paths([out.as_path(), {proto:?}.as_ref()]).unwrap();
                let output = std::process::Command::new({micro_build:?})
                    .args(["build_script", "--exact", "--nocapture"])
                    .envs([({PROTOS:?}, proto.into_os_string()), ({INCLUDES:?}, includes)])
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{{output:?}}");
                for line in String::from_utf8(output.stdout).unwrap().lines() {{
                    if let Some(start) = line.find("cargo:") {{
                        println!("{{}}", &line[start..]);
                    }}
                }}
            }}
            "#,
            proto = probe.project.path("proto"),
            micro_build = env::current_exe().unwrap(),
        );
        probe.write("crate/build.rs", &script);
        probe
    }

    fn write(&self, name: &str, content: &str) {
        write(&self.project.path(name), content);
    }

    /// Runs `cargo check`, and returns whether it found the crate fresh.
    fn is_fresh(&self) -> bool {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args([
                "check",
                "--verbose",
                "--offline",
                "--color=never",
                "--target-dir",
            ])
            .arg(self.project.path("target"))
            .current_dir(self.project.path("crate"))
            .env_remove(PROTOS);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let is_fresh = text.contains("Fresh probe");
        assert_ne!(is_fresh, text.contains("--crate-name probe "), "{text}");
        is_fresh
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

const MADE: &str = "syntax = \"proto3\"; package made; message Made {}";
const MADE_WITH_IMPORT: &str =
    "syntax = \"proto3\"; package made; import \"c.proto\"; message Made { c.C c = 1; }";

/// Asserts that the second build of a crate is fresh, and that the build after a change is not.
fn check(template: &str, changed: &str, content: &str) {
    let probe = Crate::new(template);
    assert!(!probe.is_fresh(), "the first build");
    assert!(probe.is_fresh(), "the second build");
    probe.write(changed, content);
    assert!(!probe.is_fresh(), "after a change of {changed}");
    assert!(probe.is_fresh(), "the build after that");
}

#[test]
fn a_crate_that_makes_its_proto_is_built_once_for_each_change() {
    check(MADE, "crate/template.txt", &format!("{MADE} // changed"));
}

#[test]
fn a_proto_outside_of_out_dir_that_is_imported_triggers_a_build() {
    let changed = "syntax = \"proto3\"; package c; message C { string name = 1; }";
    check(MADE_WITH_IMPORT, "proto/c.proto", changed);
}
