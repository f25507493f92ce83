//! Invalid descriptor sets: truncated, incomplete or hand-made ones are errors, and none panics.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use expect_test::{Expect, expect};
use micro_build::Config;
use support::Project;

fn check_set(set: &[u8], expected: &Expect) {
    let project = Project::new(&[]);
    let error = Config::new()
        .out_dir(project.path("out"))
        .compile_descriptor_set(set)
        .expect_err("an error");
    expected.assert_eq(&error.to_string());
}

fn a_set() -> Vec<u8> {
    let source =
        "syntax = \"proto3\";\nimport \"b.proto\";\npackage test;\nmessage M { B b = 1; }\n";
    let project = Project::new(&[
        ("a.proto", source),
        ("b.proto", "syntax = \"proto3\"; package test; message B {}"),
    ]);
    let config = Config::new().file_descriptor_set_path(project.path("set.bin"));
    project.compile(&["a.proto"], config).unwrap();
    std::fs::read(project.path("set.bin")).unwrap()
}

#[test]
fn a_truncated_set_is_rejected() {
    let set = a_set();
    check_set(
        &set[..set.len() - 3],
        &expect![
            "this is not a complete `FileDescriptorSet`: failed to decode Protobuf message: buffer underflow"
        ],
    );
}

#[test]
fn bytes_that_are_no_set_are_rejected() {
    check_set(
        b"syntax = \"proto3\";",
        &expect![
            "this is not a complete `FileDescriptorSet`: failed to decode Protobuf message: invalid wire type value: 7"
        ],
    );
}

#[test]
fn a_set_without_its_imports_is_rejected() {
    let set = a_set();
    // The first file is the import of the second: tag, one byte of length, the file.
    let first = usize::from(set[1]) + 2;
    check_set(
        &set[first..],
        &expect!["a.proto:2: imported file 'b.proto' has not been added"],
    );
}

#[test]
fn no_truncation_of_a_set_panics() {
    let set = a_set();
    let project = Project::new(&[]);
    for end in 0..set.len() {
        let config = Config::new().out_dir(project.path("out"));
        // Some of these sets are complete: those that end between two files.
        let _ = config.compile_descriptor_set(&set[..end]);
    }
}

/// Returns a set of one file with a package and a service of names that no compiler accepts.
fn a_set_by_hand(package: &str, service: &str) -> Vec<u8> {
    let file = prost_types::FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        package: Some(package.to_owned()),
        service: vec![prost_types::ServiceDescriptorProto {
            name: Some(service.to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    };
    prost::Message::encode_to_vec(&prost_types::FileDescriptorSet { file: vec![file] })
}

#[test]
fn a_package_that_is_a_path_is_rejected() {
    check_set(
        &a_set_by_hand("../../x", "S"),
        &expect!["a.proto: package `../../x` is not a name"],
    );
}

#[test]
fn a_service_name_that_is_no_identifier_is_rejected() {
    check_set(
        &a_set_by_hand("x", "S \"}"),
        &expect![[r#"a.proto: service `S "}` becomes no name in Rust"#]],
    );
}

#[test]
fn an_import_cycle_in_a_set_is_rejected() {
    let file = |name: &str, import: &str| prost_types::FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: vec![import.to_owned()],
        ..Default::default()
    };
    let file = vec![file("a.proto", "b.proto"), file("b.proto", "a.proto")];
    let set = prost_types::FileDescriptorSet { file };
    check_set(
        &prost::Message::encode_to_vec(&set),
        &expect!["import cycle: a.proto -> b.proto -> a.proto"],
    );
}

#[test]
fn a_set_with_empty_source_information_compiles() {
    let file = prost_types::FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        message_type: vec![prost_types::DescriptorProto {
            name: Some("M".to_owned()),
            ..Default::default()
        }],
        source_code_info: Some(prost_types::SourceCodeInfo::default()),
        ..Default::default()
    };
    let set = prost_types::FileDescriptorSet { file: vec![file] };
    let project = Project::new(&[]);
    let config = Config::new().out_dir(project.path("out"));
    config
        .compile_descriptor_set(&prost::Message::encode_to_vec(&set))
        .unwrap();
    assert!(project.output("_.rs").contains("pub struct M"));
}
