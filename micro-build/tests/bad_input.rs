//! Invalid input files: each is reported with a clear error, and none causes a panic.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use expect_test::{Expect, expect};
use micro_build::Config;
use support::Project;

/// Compiles `test.proto`, one of `files`, and compares the error.
fn check(files: &[(&str, &str)], expected: &Expect) {
    let project = Project::new(files);
    let error = project
        .compile(&["test.proto"], Config::new())
        .expect_err("an error");
    expected.assert_eq(&project.text(&error));
}

#[test]
fn a_syntax_error_is_reported_with_its_line() {
    check(
        &[("test.proto", "syntax = \"proto3\";\nmessage {\n")],
        &expect!["test.proto:2: expected an identifier, but found '{'"],
    );
}

#[test]
fn a_missing_import_is_reported_with_its_line() {
    check(
        &[("test.proto", "syntax = \"proto3\";\nimport \"no.proto\";\n")],
        &expect!["test.proto:2: import 'no.proto' not found"],
    );
}

#[test]
fn a_missing_import_of_an_import_is_reported_there() {
    let inner = "syntax = \"proto3\";\nimport \"no.proto\";\n";
    check(
        &[
            ("test.proto", "syntax = \"proto3\";\nimport \"a.proto\";\n"),
            ("a.proto", inner),
        ],
        &expect!["a.proto:2: import 'no.proto' not found"],
    );
}

#[test]
fn an_import_cycle_is_reported() {
    check(
        &[
            ("test.proto", "syntax = \"proto3\";\nimport \"a.proto\";\n"),
            ("a.proto", "syntax = \"proto3\";\nimport \"test.proto\";\n"),
        ],
        &expect!["test.proto: import cycle detected: test.proto -> a.proto -> test.proto"],
    );
}

#[test]
fn an_unknown_type_is_reported() {
    let source = "syntax = \"proto3\";\npackage a;\nmessage M {\n  Foo foo = 1;\n}\n";
    check(
        &[("test.proto", source)],
        &expect!["test.proto:4: name 'Foo' is not defined"],
    );
}

#[test]
fn a_type_that_is_not_imported_names_the_import_to_add() {
    let source = "syntax = \"proto3\";\nservice S {\n  rpc M(google.protobuf.Empty) returns (google.protobuf.Empty);\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
            test.proto:3: name 'google.protobuf.Empty' is not defined
              help: add `import "google/protobuf/empty.proto";`"#]],
    );
}

#[test]
fn a_duplicate_field_number_is_reported_with_both_lines() {
    let source = "syntax = \"proto3\";\nmessage M {\n  int32 a = 1;\n  int32 b = 1;\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
            test.proto:4: field number '1' is already used
              note: first defined here at test.proto:3"#]],
    );
}

#[test]
fn an_edition_needs_protoc() {
    check(
        &[(
            "test.proto",
            "// A comment.\nedition = \"2023\";\nmessage M {}\n",
        )],
        &expect![[r#"
            test.proto:2: expected 'enum', 'extend', 'import', 'message', 'option', 'service', 'package' or ';', but found 'edition'
              help: the built-in compiler does not read files with `edition`; set `Config::protoc` to compile with protoc"#]],
    );
}

#[test]
fn an_unknown_micro_option_lists_the_options() {
    let source = "syntax = \"proto3\";\nimport \"micro/v1/options.proto\";\nservice S {\n  option (micro.v1.service).versoin = \"1\";\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
            test.proto:4: option field '(micro.v1.service).versoin' is not defined
              help: `micro.v1.ServiceOptions` has the fields `version`, `description`, `queue_group`"#]],
    );
}

#[test]
fn an_unknown_field_of_a_micro_option_lists_the_fields() {
    let source = "syntax = \"proto3\";\nimport \"micro/v1/options.proto\";\nservice S {\n  option (micro.v1.service) = {\n    version: \"1.0.0\"\n    queue: \"q\"\n  };\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
            test.proto:4: invalid value of type 'micro.v1.ServiceOptions' for option '(micro.v1.service)': field 'queue' not found for message 'micro.v1.ServiceOptions'
              help: `micro.v1.ServiceOptions` has the fields `version`, `description`, `queue_group`"#]],
    );
}

#[test]
fn a_micro_option_without_its_import_names_the_import() {
    let source =
        "syntax = \"proto3\";\nservice S {\n  option (micro.v1.service).version = \"1\";\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
            test.proto:3: name 'micro.v1.service' is not defined
              help: add `import "micro/v1/options.proto";`"#]],
    );
}

#[test]
fn an_option_of_the_wrong_type_is_reported() {
    let source = "syntax = \"proto3\";\nimport \"micro/v1/options.proto\";\nservice S {\n  option (micro.v1.service).version = 1;\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
        test.proto:4: expected a value of type 'string' for option '(micro.v1.service).version', but found '1'
          help: `micro.v1.ServiceOptions` has the fields `version`, `description`, `queue_group`"#]],
    );
}
#[test]
fn a_timeout_written_as_text_is_reported() {
    let source = "syntax = \"proto3\";\nimport \"micro/v1/options.proto\";\nmessage M {}\nservice S {\n  rpc A(M) returns (M) { option (micro.v1.method) = { timeout: \"5s\" }; }\n}\n";
    check(
        &[("test.proto", source)],
        &expect![[r#"
            test.proto:5: invalid value of type 'micro.v1.MethodOptions' for option '(micro.v1.method)': expected '{' or '<', but found '"5s"'
              help: `micro.v1.MethodOptions` has the fields `expires`, `timeout`, `max_concurrent`"#]],
    );
}

#[test]
fn a_missing_include_folder_is_reported() {
    check(
        &[],
        &expect![[r#"
            file '$DIR/proto/test.proto' is not in any include path
              help: there is no folder $DIR/proto"#]],
    );
}

#[test]
fn a_file_outside_of_the_include_folders_lists_them() {
    let project = Project::new(&[
        ("in/a.proto", "syntax = \"proto3\";\n"),
        ("out/b.proto", "syntax = \"proto3\";\n"),
    ]);
    let error = Config::new()
        .out_dir(project.path("out"))
        .compile(
            &[project.path("proto/out/b.proto")],
            &[project.path("proto/in")],
        )
        .expect_err("an error");
    expect![[r#"
        file '$DIR/proto/out/b.proto' is not in any include path
          help: it has to be below one of: $DIR/proto/in"#]]
    .assert_eq(&project.text(&error));
}

#[test]
fn a_folder_instead_of_a_file_is_reported() {
    let project = Project::new(&[("a/b.proto", "")]);
    let error = project
        .compile(&["a"], Config::new())
        .expect_err("an error");
    expect!["a: error opening file '$DIR/proto/a': Is a directory (os error 21)"]
        .assert_eq(&project.text(&error));
}

#[test]
fn an_empty_list_of_files_is_reported() {
    let project = Project::new(&[]);
    let error = project.compile(&[], Config::new()).expect_err("an error");
    expect!["there is no .proto file to compile"].assert_eq(&project.text(&error));
}

#[test]
fn a_relative_include_folder_that_is_missing_is_reported() {
    let error = micro_build::compile(&["a.proto"], &["no/such/folder"]).expect_err("an error");
    expect![[r#"
        file 'a.proto' is not in any include path
          help: there is no folder no/such/folder"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn a_file_that_is_not_utf8_is_reported() {
    let project = Project::new(&[("test.proto", "")]);
    std::fs::write(
        project.path("proto/test.proto"),
        b"syntax = \"proto3\"; // \xff\xfe",
    )
    .unwrap();
    let error = project
        .compile(&["test.proto"], Config::new())
        .expect_err("an error");
    expect!["test.proto: file 'test.proto' is not valid utf-8"].assert_eq(&project.text(&error));
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_reported() {
    use std::os::unix::fs::PermissionsExt;

    let project = Project::new(&[("test.proto", "syntax = \"proto3\";\n")]);
    let path = project.path("proto/test.proto");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        // The root user can read every file, but not a path below a file.
        let error = project
            .compile(&["test.proto/x.proto"], Config::new())
            .expect_err("an error");
        assert!(error.to_string().contains("test.proto/x.proto"), "{error}");
        return;
    }
    let error = project
        .compile(&["test.proto"], Config::new())
        .expect_err("an error");
    assert!(error.to_string().contains("test.proto"), "{error}");
}

#[test]
fn a_file_of_ten_megabytes_compiles() {
    let mut source = String::from("syntax = \"proto3\";\npackage test;\nmessage M {}\n");
    while source.len() < 10 << 20 {
        source.push_str("// A comment that says nothing, and that over and over again.\n");
    }
    let project = Project::new(&[("test.proto", &source)]);
    project.compile(&["test.proto"], Config::new()).unwrap();
    assert!(project.output("test.rs").contains("pub struct M"));
}

#[test]
fn an_empty_file_generates_a_file() {
    let project = Project::new(&[("test.proto", "")]);
    project.compile(&["test.proto"], Config::new()).unwrap();
    assert!(
        project
            .output("_.rs")
            .starts_with("// @generated by micro-build")
    );
}

#[test]
fn a_missing_output_folder_is_reported() {
    let project = Project::new(&[("test.proto", "syntax = \"proto3\";\n")]);
    let error = Config::new()
        .out_dir(project.path("no/such/folder"))
        .compile(
            &[project.path("proto/test.proto")],
            &[project.path("proto")],
        )
        .expect_err("an error");
    expect!["cannot write $DIR/no/such/folder/_.rs: No such file or directory (os error 2)"]
        .assert_eq(&project.text(&error));
}

#[test]
fn a_missing_out_dir_variable_is_reported() {
    let project = Project::new(&[("test.proto", "syntax = \"proto3\";\n")]);
    let error = micro_build::compile(
        &[project.path("proto/test.proto")],
        &[project.path("proto")],
    )
    .expect_err("an error");
    expect!["`OUT_DIR` is not set; call this from a build.rs, or set `Config::out_dir`"]
        .assert_eq(&project.text(&error));
}
