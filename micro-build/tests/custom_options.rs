//! Options of `micro/v1/options.proto`: valid values are in the descriptors, invalid ones are errors.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use expect_test::{Expect, expect};
use micro_build::Config;
use support::{code_of, error_of};

fn check(source: &str, expected: &Expect) {
    expected.assert_eq(&error_of(
        &format!("import \"micro/v1/options.proto\";\n{source}"),
        Config::new(),
    ));
}

#[test]
fn options_are_written_to_the_descriptors() {
    let source = r#"import "micro/v1/options.proto";
        // The comment.
        service S {
          option (micro.v1.service) = { version: "1.2.3-rc.1" queue_group: "-" };
          rpc A(M) returns (M) {
            option (micro.v1.method).timeout = { seconds: 1 nanos: 500000000 };
            option (micro.v1.method).max_concurrent = 8;
            option idempotency_level = NO_SIDE_EFFECTS;
            option deprecated = true;
          }
          rpc B(M) returns (M) { option idempotency_level = IDEMPOTENT; }
        }
        service T {
          option (micro.v1.service).description = "What \"it\"\nsays.";
        } message M {}"#;
    let code = code_of(source, Config::new());
    let start = code.find("static __MICRO_METHODS_S").expect("a descriptor");
    let end = code[start..].find("pub trait T").expect("a second service");
    expect![[r#"
        static __MICRO_METHODS_S: [::micro_runtime::descriptor::MethodDescriptor; 2] = [
            ::micro_runtime::descriptor::MethodDescriptor::new(
                    "test.S.A",
                    "A",
                    ::micro_runtime::descriptor::MethodKind::Unary,
                    "test.M",
                    "test.M",
                )
                .timeout_ms(1500)
                .max_concurrent(8)
                .idempotency(::micro_runtime::descriptor::Idempotency::NoSideEffects)
                .deprecated(),
            ::micro_runtime::descriptor::MethodDescriptor::new(
                    "test.S.B",
                    "B",
                    ::micro_runtime::descriptor::MethodKind::Unary,
                    "test.M",
                    "test.M",
                )
                .idempotency(::micro_runtime::descriptor::Idempotency::Idempotent),
        ];
        #[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
        static __MICRO_S: ::micro_runtime::descriptor::ServiceDescriptor = ::micro_runtime::descriptor::ServiceDescriptor::new(
                "test.S",
                "test",
                "S",
                &__MICRO_METHODS_S,
            )
            .version("1.2.3-rc.1")
            .queue_group("-")
            .description("The comment.")
            .file_descriptor_set(::core::include_bytes!("test.fds.bin"));
        const _: () = ::micro_runtime::codegen::written_by("0.1.0");
        /// Generated from `service T` in `test.proto`.
        #[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
        #[diagnostic::on_unimplemented(
            message = "`{Self}` does not serve `T`",
            label = "missing `#[service] impl T for {Self}`",
            note = "the contract is `service T` in test.proto:15"
        )]
    "#]].assert_eq(&code[start..start + end]);
    assert!(code.contains(r#".description("What \"it\"\nsays.")"#));
    // No code is generated for the option messages.
    assert!(!code.contains("ServiceOptions {"));
}

#[test]
fn invalid_values_are_reported_all_at_once() {
    check(
        r#"service S {
          option (micro.v1.service) = {
            version: "1.2"
            queue_group: "a b"
          };
          rpc A(M) returns (M) {
            option (micro.v1.method) = { timeout: { seconds: -5 } };
          }
          rpc B(M) returns (M) {
            option (micro.v1.method).timeout = { nanos: 1500 };
          }
          rpc C(M) returns (M) {
            option (micro.v1.method).timeout = {};
          }
        }
        message M {}"#,
        &expect![[r#"
            5 problems
              test.proto:5: `1.2` is not a SemVer version; write one such as `1.2.3`
              test.proto:5: `a b` is not a queue group; write printable ASCII without spaces, `*` and `>`, or `-` for none
              test.proto:10: timeout of `test.S.A`: { seconds: -5 nanos: 0 } is negative; write at least one millisecond
              test.proto:13: timeout of `test.S.B`: { seconds: 0 nanos: 1500 } is not a whole number of milliseconds
              test.proto:16: timeout of `test.S.C`: it is zero; write at least one millisecond, or leave it out"#]],
    );
}

#[test]
fn invalid_subjects_are_reported_all_at_once() {
    check(
        r#"service S { rpc A(M1) returns (M1); }
        message M1 { option (micro.v1.event).subject = "evt.a b.*.>"; }
        message M2 { option (micro.v1.event).subject = "evt..x."; }
        message M3 {
          option (micro.v1.event) = { subject: "evt.{venu}.{price}.{names}.{open" };
          string venue = 1;
          double price = 2;
          repeated string names = 3;
        }
        message M4 { option (micro.v1.event).subject = "test.S.A"; }
        message M5 { option (micro.v1.event) = {}; }
        message M7 {
          option (micro.v1.event).subject = "{a}.x{b}.{a}{b}.{c}";
          string a = 1; bool b = 2; oneof o { string c = 3; }
        }
        message M8 { option (micro.v1.event).subject = "test.{a}.{b}"; string a = 1; string b = 2; }
        message M6 { message In { option (micro.v1.event).subject = "_evt.$x.}.ü"; } }"#,
        &expect![[r#"
            20 problems
              test.proto:5: event subject `evt.a b.*.>` of `test.M1`: ' ' cannot stand in a subject; write printable ASCII without spaces
              test.proto:5: event subject `evt.a b.*.>` of `test.M1`: `*` is a wildcard, and nothing can be published to one
              test.proto:5: event subject `evt.a b.*.>` of `test.M1`: `>` is a wildcard, and nothing can be published to one
              test.proto:6: event subject `evt..x.` of `test.M2`: it has an empty token
              test.proto:8: event subject `evt.{venu}.{price}.{names}.{open` of `test.M3`: there is no field `venu`; there are: `venue`, `names`, `price`
              test.proto:8: event subject `evt.{venu}.{price}.{names}.{open` of `test.M3`: field `price` is not a single string, bool, enum or integer
              test.proto:8: event subject `evt.{venu}.{price}.{names}.{open` of `test.M3`: field `names` is not a single string, bool, enum or integer
              test.proto:8: event subject `evt.{venu}.{price}.{names}.{open` of `test.M3`: `{open` is not closed
              test.proto:13: event subject `test.S.A` of `test.M4`: it is the call subject of the method at test.proto:4
              test.proto:14: event subject of `test.M5`: it is empty; write one such as `evt.market.trade.{venue}`
              test.proto:16: event subject `{a}.x{b}.{a}{b}.{c}` of `test.M7`: a placeholder is a whole token, as a wildcard is; split `x{b}`
              test.proto:16: event subject `{a}.x{b}.{a}{b}.{c}` of `test.M7`: a placeholder is a whole token, as a wildcard is; split `{a}{b}`
              test.proto:16: event subject `{a}.x{b}.{a}{b}.{c}` of `test.M7`: field `c` is part of the oneof `o`, and so is not always there
              test.proto:16: event subject `{a}.x{b}.{a}{b}.{c}` of `test.M7`: it begins with a placeholder, and so a value could lead anywhere; begin with a word, as in `evt.…`
              test.proto:19: event subject `test.{a}.{b}` of `test.M8`: it is the call subject of the method at test.proto:4
              test.proto:19: event subject `test.{a}.{b}` of `test.M8`: `test.M4` at test.proto:13 has subjects of the same form (`test.S.A`), so that subscribers of one would get the other as well; begin one of them with other words
              test.proto:20: event subject `_evt.$x.}.ü` of `test.M6.In`: token `_evt` begins with `_` or `$`, which is reserved
              test.proto:20: event subject `_evt.$x.}.ü` of `test.M6.In`: token `$x` begins with `_` or `$`, which is reserved
              test.proto:20: event subject `_evt.$x.}.ü` of `test.M6.In`: `}` without `{`
              test.proto:20: event subject `_evt.$x.}.ü` of `test.M6.In`: 'ü' cannot stand in a subject; write printable ASCII without spaces"#]],
    );
}

#[test]
fn events_that_share_a_subject_are_reported() {
    check(
        r#"message Trade { option (micro.v1.event).subject = "evt.{venue}.{id}"; string venue = 1; string id = 2; }
        message Quote { option (micro.v1.event).subject = "evt.{id}.{venue}"; string venue = 1; string id = 2; }
        message Closed { option (micro.v1.event).subject = "evt.market.closed"; }
        message Other { option (micro.v1.event).subject = "evt.market.closed.early"; }
        message Outer { message Inner { option (micro.v1.event).subject = "evt.market.closed.{id}"; string id = 1; } }"#,
        &expect![[r#"
            3 problems
              test.proto:5: event subject `evt.{id}.{venue}` of `test.Quote`: `test.Trade` at test.proto:4 has subjects of the same form (`evt.{venue}.{id}`), so that subscribers of one would get the other as well; begin one of them with other words
              test.proto:6: event subject `evt.market.closed` of `test.Closed`: `test.Trade` at test.proto:4 has subjects of the same form (`evt.{venue}.{id}`), so that subscribers of one would get the other as well; begin one of them with other words
              test.proto:8: event subject `evt.market.closed.{id}` of `test.Outer.Inner`: `test.Other` at test.proto:7 has subjects of the same form (`evt.market.closed.early`), so that subscribers of one would get the other as well; begin one of them with other words"#]],
    );
}

#[test]
fn valid_subjects_are_accepted() {
    let source = r#"import "micro/v1/options.proto";
        enum E { E0 = 0; }
        message M {
          option (micro.v1.event).subject = "evt.{a}.v1-~.{b}.{c}.{d}.{a}";
          string a = 1; bool b = 2; E c = 3; optional fixed64 d = 4;
        }"#;
    code_of(source, Config::new());
}
