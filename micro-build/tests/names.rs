//! Names that Rust or NATS cannot express are rejected, with both positions and a fix.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use expect_test::{Expect, expect};
use micro_build::Config;
use support::{Project, code_of, error_of};

fn check(source: &str, expected: &Expect) {
    expected.assert_eq(&error_of(source, Config::new()));
}

#[test]
fn methods_with_the_same_rust_name_are_rejected() {
    check(
        "message M {}
        service S {
          rpc GetFoo(M) returns (M);
          rpc get_foo(M) returns (M);
        }",
        &expect![[
            r#"test.proto:6: methods `GetFoo` (test.proto:5) and `get_foo` of service `test.S` both become `fn get_foo` in Rust; give one another name, as with `Config::rename(".test.S.get_foo", "…")`"#
        ]],
    );
    let source = "message M {}
        service S {
          rpc GetFoo(M) returns (M);
          rpc get_foo(M) returns (M);
        }";
    let code = code_of(
        source,
        Config::new().rename(".test.S.get_foo", "get_foo_old"),
    );
    assert!(code.contains("fn get_foo(") && code.contains("fn get_foo_old("));
}

#[test]
fn messages_named_like_items_of_a_service_are_rejected() {
    check(
        "service greeter {}
        message Greeter {}
        message GreeterClient {}
        enum GreeterServer { A = 0; }",
        &expect![[
            r#"test.proto:3: message `Greeter` (test.proto:4) and service `greeter` both become `Greeter` in Rust; give one another name, as with `Config::rename(".test.greeter", "…")`"#
        ]],
    );
    let source = "service greeter {}\nmessage Greeter {}\nmessage GreeterClient {}";
    code_of(source, Config::new().rename("test.greeter", "Greeting"));
    code_of(
        "service Greeter {}\nmessage GreeterClient {}",
        Config::new().build_client(false),
    );
    code_of(
        "service Greeter {}\nmessage GreeterServer {}",
        Config::new().build_server(false),
    );
}

#[test]
fn a_message_and_a_service_of_one_name_are_rejected_by_the_compiler() {
    // The compiler rejects this before the checks of micro-build.
    check(
        "service Greeter {}\nmessage Greeter {}",
        &expect![[r#"
        test.proto:3: name 'test.Greeter' is defined twice
          note: first defined here at test.proto:4"#]],
    );
    let project = Project::new(&[
        (
            "a.proto",
            "syntax = \"proto3\";\npackage p;\nservice Greeter {}",
        ),
        (
            "b.proto",
            "syntax = \"proto3\"; package p;\nmessage Greeter {}",
        ),
    ]);
    let error = project
        .compile(&["a.proto", "b.proto"], Config::new())
        .expect_err("an error");
    expect![[r#"
        b.proto:2: name 'p.Greeter' is already defined in file 'a.proto'
          note: first defined at a.proto:3"#]]
    .assert_eq(&project.text(&error));
}

#[test]
fn services_with_the_same_rust_name_are_rejected() {
    check(
        "service FooBar {}\nservice Foo_Bar {}\nservice FooBarClient {}",
        &expect![[r#"
            2 problems
              test.proto:4: service `FooBar` (test.proto:3) and service `Foo_Bar` both become `FooBar` in Rust; give one another name, as with `Config::rename(".test.Foo_Bar", "…")`
              test.proto:5: the client of service `FooBar` (test.proto:3) and service `FooBarClient` both become `FooBarClient` in Rust; give one another name, as with `Config::rename(".test.FooBarClient", "…")`"#]],
    );
}

#[test]
fn reserved_names_are_rejected() {
    check(
        "message M {}
        service _Hidden { rpc A(M) returns (M); }
        service S { rpc _schema(M) returns (M); }",
        &expect![[r#"
            2 problems
              test.proto:4: service `_Hidden` begins with `_`, which is reserved in subjects; rename it
              test.proto:5: method `_schema` of service `test.S` begins with `_`, which is reserved in subjects; rename it"#]],
    );
    let project = Project::new(&[(
        "a.proto",
        "syntax = \"proto3\";\npackage a._b;\nservice S {}\n",
    )]);
    let error = project
        .compile(&["a.proto"], Config::new())
        .expect_err("an error");
    expect![
        "a.proto:3: package part `_b` begins with `_`, which is reserved in subjects; rename it"
    ]
    .assert_eq(&project.text(&error));
}

#[test]
fn types_with_the_same_rust_name_are_rejected() {
    check(
        "message FooBar {}
        message Foo_Bar {}
        enum Foobar { A = 0; }
        enum FOOBAR { B = 0; }
        message M {
          message Inner {}
          enum inner { C = 0; }
          oneof INNER { string d = 1; }
          oneof inner_ { string e = 2; }
        }",
        &expect![[r#"
            5 problems
              test.proto:4: message `FooBar` (test.proto:3) and message `Foo_Bar` both become `FooBar` in Rust; rename one in the .proto
              test.proto:6: enum `Foobar` (test.proto:5) and enum `FOOBAR` both become `Foobar` in Rust; rename one in the .proto
              test.proto:9: message `Inner` (test.proto:8) and enum `inner` both become `Inner` in Rust; rename one in the .proto
              test.proto:11: oneof `INNER` (test.proto:10) and oneof `inner_` both become `inner` in Rust; rename one in the .proto
              test.proto:11: oneof `INNER` (test.proto:10) and oneof `inner_` both become `InnerOneOf` in Rust; rename one in the .proto"#]],
    );
}

#[test]
fn enum_values_with_the_same_rust_name_are_rejected() {
    check(
        "enum Color { COLOR_RED = 0; Red = 1; COLOR_BLUE = 2; }",
        &expect![
            "test.proto:3: enum value `COLOR_RED` (test.proto:3) and enum value `Red` both become `Red` in Rust; rename one in the .proto"
        ],
    );
    // Aliases are one value, for which prost generates the first name.
    code_of(
        "enum Color { option allow_alias = true; RED = 0; COLOR_RED = 0; }",
        Config::new(),
    );
}

#[test]
fn packages_with_the_same_module_are_rejected() {
    let project = Project::new(&[
        (
            "a.proto",
            "syntax = \"proto3\"; package a.fooBar; message M {}",
        ),
        (
            "b.proto",
            "syntax = \"proto3\"; package a.foo_bar; message M {}",
        ),
    ]);
    let error = project
        .compile(&["a.proto", "b.proto"], Config::new())
        .expect_err("an error");
    expect!["packages `a.fooBar` and `a.foo_bar` both become the module `a::foo_bar` in Rust; rename one"].assert_eq(&project.text(&error));
}

#[test]
fn a_package_and_nested_messages_with_the_same_module_are_rejected() {
    let project = Project::new(&[
        (
            "a.proto",
            "syntax = \"proto3\"; package a; message B { message C {} }",
        ),
        ("b.proto", "syntax = \"proto3\"; package a.b; message M {}"),
    ]);
    project
        .compile(&["a.proto", "b.proto"], Config::new())
        .expect("two files that know nothing of each other");
    let config = Config::new().include_file("all.rs");
    let error = project
        .compile(&["a.proto", "b.proto"], config)
        .expect_err("an error");
    expect!["message `B` (a.proto:1) and package `a.b` both become `mod b` in Rust; rename one, or leave out `Config::include_file`"].assert_eq(&project.text(&error));
}

#[test]
fn a_message_named_like_an_event_filter_is_rejected() {
    check(
        r#"import "micro/v1/options.proto";
        message TradeFilter {}
        message Trade { option (micro.v1.event).subject = "evt.trade"; }
        message OuterTrade { option (micro.v1.event).subject = "evt.one"; }
        message Outer { message Trade { option (micro.v1.event).subject = "evt.two"; } }
"#,
        &expect![[r#"
            2 problems
              test.proto:5: message `TradeFilter` (test.proto:4) and the filter of event `Trade` both become `TradeFilter` in Rust; rename one in the .proto
              test.proto:7: the filter of event `OuterTrade` (test.proto:6) and the filter of event `Trade` both become `OuterTradeFilter` in Rust; rename one in the .proto"#]],
    );
    code_of(
        r#"import "micro/v1/options.proto";
        message TradeFilter {}
        message Trade { option (micro.v1.event).subject = "evt.trade"; }"#,
        Config::new().build_events(false),
    );
}
