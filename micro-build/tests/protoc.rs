//! Compiling with the user's protoc: the same code as the built-in compiler's, and editions.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fs;
use std::path::Path;

use expect_test::expect;
use micro_build::{Config, ErrorKind};
use support::{Project, contents};

/// Returns a configuration with the protoc of a crate, so that the test needs no installed one.
fn with_protoc() -> Config {
    Config::new().protoc(protoc_bin_vendored::protoc_bin_path().unwrap())
}

fn google_include() -> std::path::PathBuf {
    protoc_bin_vendored::include_path().unwrap()
}

#[test]
fn protoc_generates_the_same_code_as_the_built_in_compiler() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The compilers attach some comments to different elements.
        if path.is_dir() || name.starts_with("comments_") || name == "descriptions.proto" {
            continue;
        }
        let compile = |config: Config, includes: &[&Path]| {
            let out_dir = support::folder();
            config
                .out_dir(out_dir.path())
                .include_file("all.rs")
                .compile(&[&path], includes)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut contents = contents(out_dir.path());
            // The compilers encode source information and options differently.
            contents.retain(|name, _| name.ends_with(".rs"));
            contents
        };
        let ours = compile(Config::new(), &[&corpus]);
        let protocs = compile(with_protoc(), &[&corpus, &google_include()]);
        for (name, content) in ours {
            let (ours, protocs) = (String::from_utf8(content), protocs[&name].clone());
            let protocs = String::from_utf8(protocs).unwrap();
            assert_eq!(ours.unwrap(), protocs, "{}", path.display());
        }
    }
}

#[test]
fn protoc_finds_the_micro_options_without_an_include_folder() {
    let source = "syntax = \"proto3\"; package test; import \"micro/v1/options.proto\";\n\
                  service S { option (micro.v1.service).version = \"9.8.7\"; }";
    let project = Project::new(&[("test.proto", source)]);
    let includes = [project.path("proto"), google_include()];
    with_protoc()
        .out_dir(project.path("out"))
        .compile(&[project.path("proto/test.proto")], &includes)
        .unwrap();
    assert!(project.output("test.rs").contains(".version(\"9.8.7\")"));
}

#[test]
fn protoc_arg_is_passed_to_protoc() {
    let project = Project::new(&[(
        "test.proto",
        "syntax = \"proto3\"; package test; message M {}",
    )]);
    let dependencies = project.path("deps.d");
    let argument = format!("--dependency_out={}", dependencies.display());
    project
        .compile(&["test.proto"], with_protoc().protoc_arg(argument))
        .unwrap();
    assert!(
        fs::read_to_string(dependencies)
            .unwrap()
            .contains("test.proto")
    );
}

#[test]
fn errors_of_protoc_are_reported() {
    let project = Project::new(&[("test.proto", "syntax = \"proto3\";\nmessage {}\n")]);
    let error = project
        .compile(&["test.proto"], with_protoc())
        .expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Compile);
    assert!(
        error
            .to_string()
            .contains("test.proto:2:9: Expected message name."),
        "{error}"
    );
}

#[test]
fn a_missing_protoc_is_reported() {
    let project = Project::new(&[("test.proto", "")]);
    let error = project
        .compile(&["test.proto"], Config::new().protoc("/no/such/protoc"))
        .expect_err("an error");
    expect!["cannot run `/no/such/protoc`; give `Config::protoc` the path of a protoc: No such file or directory (os error 2)"].assert_eq(&project.text(&error));
}

const EDITION: &str = r#"
edition = "2023";
package test;

// Serves.
service S { rpc A(Explicit) returns (stream Implicit.Inner); }

message Explicit {
  int32 present = 1;
  string text = 2 [default = "x"];
  repeated int32 packed = 3;
  repeated int32 expanded = 4 [features.repeated_field_encoding = EXPANDED];
  int32 required = 5 [features.field_presence = LEGACY_REQUIRED];
  Group group = 6 [features.message_encoding = DELIMITED];
  map<string, Group> map = 7;
  oneof one { int32 a = 8; Group b = 9; }
  Closed closed = 10;
  message Group { string c = 1; }
}
enum Closed { option features.enum_type = CLOSED; ONE = 1; }
message Implicit { message Inner {} }
"#;

#[test]
fn an_edition_with_explicit_presence_compiles() {
    let project = Project::new(&[("test.proto", EDITION)]);
    project.compile(&["test.proto"], with_protoc()).unwrap();
    let code = project.output("test.rs");
    syn::parse_file(&code).unwrap();
    let start = code.find("pub struct Explicit").unwrap();
    let end = start + code[start..].find("\n}\n").unwrap();
    expect![[r#"
        pub struct Explicit {
            #[prost(int32, optional, tag = "1")]
            pub present: ::core::option::Option<i32>,
            #[prost(string, optional, tag = "2", default = "x")]
            pub text: ::core::option::Option<
                ::micro_runtime::codegen::prost::alloc::string::String,
            >,
            #[prost(int32, repeated, tag = "3")]
            pub packed: ::micro_runtime::codegen::prost::alloc::vec::Vec<i32>,
            #[prost(int32, repeated, packed = "false", tag = "4")]
            pub expanded: ::micro_runtime::codegen::prost::alloc::vec::Vec<i32>,
            #[prost(int32, required, tag = "5")]
            pub required: i32,
            #[prost(group, optional, tag = "6")]
            pub group: ::core::option::Option<explicit::Group>,
            #[prost(map = "string, message", tag = "7")]
            pub map: ::std::collections::HashMap<
                ::micro_runtime::codegen::prost::alloc::string::String,
                explicit::Group,
            >,
            #[prost(enumeration = "Closed", optional, tag = "10")]
            pub closed: ::core::option::Option<i32>,
            #[prost(oneof = "explicit::One", tags = "8, 9")]
            pub one: ::core::option::Option<explicit::One>,"#]]
    .assert_eq(&code[start..end]);
    assert!(code.contains("/// Serves."));
}

#[test]
fn an_edition_with_implicit_presence_compiles() {
    let source = r#"edition = "2023";
        package test;
        option features.field_presence = IMPLICIT;
        message M {
          int32 plain = 1;
          string present = 2 [features.field_presence = EXPLICIT];
          M message = 3;
          repeated int32 packed = 4;
          oneof one { int32 a = 5; }
          map<string, string> map = 6;
        }"#;
    let project = Project::new(&[("test.proto", source)]);
    project.compile(&["test.proto"], with_protoc()).unwrap();
    let code = project.output("test.rs");
    let start = code.find("pub struct M").unwrap();
    let end = start + code[start..].find("\n}\n").unwrap();
    expect![[r#"
        pub struct M {
            #[prost(int32, tag = "1")]
            pub plain: i32,
            #[prost(string, optional, tag = "2")]
            pub present: ::core::option::Option<
                ::micro_runtime::codegen::prost::alloc::string::String,
            >,
            #[prost(message, optional, boxed, tag = "3")]
            pub message: ::core::option::Option<
                ::micro_runtime::codegen::prost::alloc::boxed::Box<M>,
            >,
            #[prost(int32, repeated, tag = "4")]
            pub packed: ::micro_runtime::codegen::prost::alloc::vec::Vec<i32>,
            #[prost(map = "string, string", tag = "6")]
            pub map: ::std::collections::HashMap<
                ::micro_runtime::codegen::prost::alloc::string::String,
                ::micro_runtime::codegen::prost::alloc::string::String,
            >,
            #[prost(oneof = "m::One", tags = "5")]
            pub one: ::core::option::Option<m::One>,"#]]
    .assert_eq(&code[start..end]);
}

#[test]
fn an_edition_that_prost_cannot_express_is_rejected() {
    let source = r#"edition = "2023";
        package test;
        message M {
          int32 plain = 1 [features.field_presence = IMPLICIT];
          int32 required = 2 [features.field_presence = LEGACY_REQUIRED];
        }"#;
    let project = Project::new(&[("test.proto", source)]);
    let error = project
        .compile(&["test.proto"], with_protoc())
        .expect_err("an error");
    expect!["test.proto: field `required` is `LEGACY_REQUIRED` or `DELIMITED` in a file with `IMPLICIT` fields, which prost cannot express; move it to another file"].assert_eq(&project.text(&error));
}

#[test]
fn an_edition_with_micro_options_compiles() {
    let source = r#"edition = "2023";
        package test;
        import "micro/v1/options.proto";
        service S { option (micro.v1.service).version = "9.8.7"; }"#;
    let project = Project::new(&[("test.proto", source)]);
    let includes = [project.path("proto"), google_include()];
    with_protoc()
        .out_dir(project.path("out"))
        .compile(&[project.path("proto/test.proto")], &includes)
        .unwrap();
    assert!(project.output("test.rs").contains(".version(\"9.8.7\")"));
}
