//! Checks of the item under `#[service]`, and of the arguments of `#[service]` and `#[rpc]`.

use proc_macro2::TokenStream;
use quote::quote;

use super::tests::{COUNT, MOVE, SUM, UNARY, check, messages, shapes};
use crate::expand::service;

#[test]
fn service_is_rejected_on_anything_but_a_trait_impl() {
    let check = |item: TokenStream, expected: &str| {
        let found = messages(service(TokenStream::new(), &item));
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{item}: {found:?}"
        );
    };
    check(
        quote!(
            struct English;
        ),
        "not on a struct; write `#[service] impl Greeter for English",
    );
    check(
        quote!(
            pub enum English {}
        ),
        "not on an enum",
    );
    check(quote!(union English { }), "not on a union");
    check(
        quote!(pub(crate) async fn hello() { half. }),
        "not on a function; put `hello` into",
    );
    check(
        quote!(
            mod handlers {}
        ),
        "not on a module; put it on each",
    );
    check(
        quote!(
            pub trait Greeter {}
        ),
        "not on the trait: micro-build writes the trait",
    );
    check(
        quote!(
            const X: u8 = 1;
        ),
        "goes on the impl of a service trait, as in",
    );
    check(
        quote!(impl English { }),
        "needs the service trait here, as in `impl Greeter for English`",
    );
}

#[test]
fn service_accepts_only_the_crate_argument() {
    let check = |args: TokenStream, expected: &[&str]| {
        let found = messages(service(args.clone(), &quote!(impl Shapes for Echo { })));
        assert_eq!(found.len(), expected.len(), "{args}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{args}: {found}");
        }
    };
    check(quote!(crate = micro), &[]);
    check(quote!(queu = "x"), &["unknown argument `queu`"]);
    check(
        quote!(timeout = "5s"),
        &["it belongs to a method: `#[rpc(timeout = \"5s\")]`"],
    );
    check(
        quote!(blocking),
        &["it belongs to a method: `#[rpc(blocking)]`"],
    );
    check(quote!(crate = "micro"), &["`crate` expects a path"]);
    check(quote!(crate), &["`crate` expects a path"]);
    check(quote!(crate = a, crate = b), &["`crate` is set twice"]);
    check(
        quote!(one, two),
        &["unknown argument `one`", "unknown argument `two`"],
    );
    check(quote!(queue("x")), &["expected `queue = …`"]);
}

#[test]
fn values_of_rpc_options_are_checked() {
    let check =
        |options: &str, expected: &[&str]| check(&format!("#[rpc{options}] {UNARY}"), expected);
    check(
        "(timeout = \"250ms\", max_concurrent = 1, queue = \"-\")",
        &[],
    );
    check("", &["`#[rpc]` takes options"]);
    check(
        "(queu = \"x\")",
        &["unknown option `queu`; did you mean `queue`?"],
    );
    check(
        "(retries = 3)",
        &["unknown option `retries`; expected one of: `timeout`, `max_concurrent`"],
    );
    check("(queue = \"a\", queue = \"b\")", &["`queue` is set twice"]);
    check(
        "(queue = 1)",
        &["`queue` expects a string, as in `queue = \"workers\"`"],
    );
    check("(queue)", &["`queue` expects a string"]);
    check(
        "(queue = \"a b\")",
        &["invalid queue group \"a b\": whitespace"],
    );
    check("(queue = \"\")", &["it is empty"]);
    check("(queue = \"a.*\")", &["wildcards"]);
    check("(queue = \"a..b\")", &["between dots"]);
    check("(queue = \"ä\")", &["only printable ASCII"]);
    check(
        "(timeout = 5)",
        &["`timeout` expects a string, as in `timeout = \"5s\"`"],
    );
    check(
        "(timeout = \"5 parsecs\")",
        &["invalid duration \"5 parsecs\": write a whole number and a unit"],
    );
    check("(timeout = \"1.5s\")", &["invalid duration"]);
    check("(timeout = \"0s\")", &["at least one millisecond"]);
    check("(max_concurrent = 0)", &["at least 1"]);
    check(
        "(max_concurrent = \"8\")",
        &["`max_concurrent` expects a number"],
    );
    check(
        "(max_concurrent = -1)",
        &["`max_concurrent` expects a number"],
    );
    check("(blocking = true)", &["`blocking` takes no value"]);
    check(
        "(timeout = \"x\", queue = \"a b\")",
        &["invalid duration", "invalid queue group"],
    );
}

#[test]
fn options_for_single_replies_are_rejected_on_streams() {
    let found = messages(shapes(&format!(
        "{UNARY} {SUM} {MOVE} #[rpc(blocking, detached)] {COUNT}"
    )));
    assert_eq!(
        found,
        [
            "`blocking` is for methods with a single reply; `Count` returns a stream (shapes.proto:8)",
            "`detached` is for methods with a single reply; `Count` returns a stream (shapes.proto:8)",
        ]
    );
}
