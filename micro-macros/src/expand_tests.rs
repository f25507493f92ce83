//! What the macros say and write, as tokens: no new compiler can hide a change.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use super::expand::{service, service_impl};

/// What a companion table hands over for one method of each kind.
fn shapes(body: &str) -> TokenStream {
    let members: TokenStream = body.parse().unwrap();
    expand(&quote! { impl Shapes for Echo { #members } })
}

fn expand(item: &TokenStream) -> TokenStream {
    service_impl(quote! {
        runtime(::micro_runtime)
        service(Shapes "shapes.v1.Shapes" "shapes.proto:6")
        messages
        rpc(unary "Unary" unary "shapes.proto:7" [Ping] [Pong])
        rpc(count "Count" server_streaming "shapes.proto:8" [super::other::Ping] [Pong])
        rpc(sum "Sum" client_streaming "shapes.proto:9" [Ping] [Pong])
        rpc(r#move "Move" bidirectional "shapes.proto:10" [Ping] [Pong])
        user { } { #item }
    })
}

const UNARY: &str =
    "async fn unary(&self, ctx: Context, request: Ping) -> Result<Pong, Status> { half. }";
const COUNT: &str = "async fn count(&self, ctx: Context, request: Ping) -> Result<impl ReplyStream<Pong>, Status> { todo!() }";
const SUM: &str = "async fn sum(&self, ctx: Context, requests: Streaming<Ping>) -> Result<Pong, Status> { todo!() }";
const MOVE: &str = "async fn r#move(&self, ctx: Context, requests: Streaming<Ping>) -> Result<impl ReplyStream<Pong>, Status> { todo!() }";

/// The texts of the errors, in order.
fn messages(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut messages = vec![];
    for window in tokens.windows(3) {
        if let [
            TokenTree::Ident(name),
            TokenTree::Punct(_),
            TokenTree::Group(text),
        ] = window
            && name == "compile_error"
        {
            let text: syn::LitStr = syn::parse2(text.stream()).unwrap();
            messages.push(text.value());
        }
    }
    messages
}

/// Tokens remember whether a space followed them.
fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Asserts that `unary`, written so, leads to these errors; each expectation is a part of one error.
fn check(unary: &str, expected: &[&str]) {
    let found = messages(shapes(&format!("{unary} {COUNT} {SUM} {MOVE}")));
    assert_eq!(found.len(), expected.len(), "{unary}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{unary}\n{found}");
    }
}

/// The same for `sum`, whose requests are a stream.
fn check_sum(sum: &str, expected: &[&str]) {
    let found = messages(shapes(&format!("{UNARY} {COUNT} {sum} {MOVE}")));
    assert_eq!(found.len(), expected.len(), "{sum}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{sum}\n{found}");
    }
}

#[test]
fn a_right_impl_is_emitted_as_written() {
    let written = format!("{UNARY} {COUNT} {SUM} {MOVE}");
    let expanded = without_spaces(&shapes(&written).to_string());
    assert!(expanded.ends_with(&without_spaces(&format!(
        "impl Shapes for Echo {{ {written} }}"
    ))));
    assert!(!expanded.contains("__MICRO_RPC"), "{expanded}");
}

#[test]
fn options_become_a_constant() {
    let unary = format!(
        "#[rpc(timeout = \"2m\", queue = \"a.b\", blocking)] #[rpc(detached)] #[cfg(all())] {UNARY}"
    );
    let expanded = shapes(&format!(
        "{unary} {COUNT} {SUM} #[rpc(max_concurrent = 8)] {MOVE}"
    ))
    .to_string();
    let expected = quote! {
        const __MICRO_RPC: &'static [::micro_runtime::codegen::RpcOptions] = &[
            #[cfg(all())]
            ::micro_runtime::codegen::RpcOptions::new("Unary")
                .timeout_ms(120000u64).queue("a.b").blocking().detached(),
            ::micro_runtime::codegen::RpcOptions::new("Move").max_concurrent(8u32)
        ];
    };
    assert!(expanded.contains(&expected.to_string()), "{expanded}");
    assert!(!expanded.contains("# [rpc"), "{expanded}");
}

#[test]
fn the_impl_goes_through_the_table_beside_the_trait() {
    let item = quote! { impl<T: Clone> greeter::Shapes<u8> for Echo<T> { } };
    let expected = quote! { greeter::Shapes! { user { crate = ::my_micro } { #item } } };
    assert_eq!(
        service(quote!(crate = ::my_micro), &item).to_string(),
        expected.to_string()
    );
}

#[test]
fn service_belongs_on_an_impl() {
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
    check(
        quote!(impl Subscriber<Trade> for English { }),
        "knows no events yet",
    );
}

#[test]
fn service_takes_one_argument() {
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
fn options_are_checked() {
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
fn options_fit_the_kind() {
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

#[test]
fn handlers_have_the_right_shape() {
    let body = "-> Result<Pong, Status> { half. }";
    let plain = "ctx: Context, request: Ping";
    for (unary, expected) in [
        (
            format!("fn unary(&self, {plain}) {body}"),
            "handler `unary` must be an `async fn`",
        ),
        (
            format!("async fn unary({plain}) {body}"),
            "handler `unary` takes `&self` first",
        ),
        (
            format!("async fn unary(&mut self, {plain}) {body}"),
            "handlers run concurrently and take `&self`",
        ),
        (
            format!("async fn unary(self, {plain}) {body}"),
            "take `&self`, or `self: Arc<Self>`",
        ),
        (
            format!("async fn unary(mut self, {plain}) {body}"),
            "take `&self`, or `self: Arc<Self>`",
        ),
        (
            format!("async fn unary(self: Box<Self>, {plain}) {body}"),
            "take `&self`, or `self: Arc<Self>`",
        ),
        (
            format!("async fn unary<T>(&self, {plain}) {body}"),
            "cannot be generic",
        ),
        (
            format!("async fn unary(&self, ctx: Context, request: impl Into<Ping>) {body}"),
            "cannot be generic",
        ),
        (
            format!("async unsafe fn unary(&self, {plain}) {body}"),
            "cannot be `unsafe`",
        ),
        (
            format!("const async fn unary(&self, {plain}) {body}"),
            "cannot be `const`",
        ),
        (
            format!("async extern \"C\" fn unary(&self, {plain}) {body}"),
            "cannot be `extern`",
        ),
    ] {
        check(&unary, &[expected]);
    }
}

#[test]
fn arguments_are_those_of_the_proto() {
    let expected = "expected `(&self, ctx: Context, request: Ping)` (shapes.proto:7)";
    for (arguments, problem) in [
        ("", "`Context` and the request are missing"),
        (", request: Ping", "`Context` is missing"),
        (", ctx: Context", "the request is missing"),
        (", it: Alias", "an argument is missing"),
        (
            ", ctx: Context, request: Ping, more: u8",
            "one argument too many",
        ),
    ] {
        let unary = format!("async fn unary(&self{arguments}) -> Result<Pong, Status> {{ }}");
        check(&unary, &[&format!("{problem}: {expected}")]);
    }
    check(
        "async fn unary(&self, request: Ping, ctx: Context) -> Result<Pong, Status> { }",
        &["arguments are swapped: expected `ctx: Context, request: Ping`"],
    );
    check(
        "async fn unary(&self, ctx: Context, requests: Streaming<Ping>) -> Result<Pong, Status> { }",
        &["`Unary` is declared with a single request (shapes.proto:7): take `request: Ping`"],
    );
    check_sum(
        "async fn sum(&self, ctx: Context, request: Ping) -> Result<Pong, Status> { }",
        &[
            "`Sum` is declared with `(stream Ping)` (shapes.proto:9): take `requests: Streaming<Ping>`",
        ],
    );
    check_sum(
        "async fn sum(&self, requests: Streaming<Ping>, ctx: Context) -> Result<Pong, Status> { }",
        &["arguments are swapped: expected `ctx: Context, requests: Streaming<Ping>`"],
    );
}

#[test]
fn outputs_are_those_of_the_proto() {
    let start = "async fn unary(&self, ctx: Context, request: Ping)";
    check(
        &format!("{start} {{ }}"),
        &["handler `unary` lacks its return type: write `-> Result<Pong, Status>`"],
    );
    check(
        &format!("{start} -> () {{ }}"),
        &["handlers return `Result<Pong, Status>`"],
    );
    check(
        &format!("{start} -> Pong {{ }}"),
        &["handlers return `Result<Pong, Status>`"],
    );
    for reply in [
        "impl ReplyStream<Pong>",
        "impl Stream<Item = Result<Pong, Status>>",
        "Streaming<Pong>",
    ] {
        check(
            &format!("{start} -> Result<{reply}, Status> {{ }}"),
            &[
                "`Unary` returns one `Pong`, its reply is no `stream` (shapes.proto:7): return `Result<Pong, Status>`",
            ],
        );
    }
}

#[test]
fn members_are_those_of_the_proto() {
    check(
        &UNARY.replace("unary", "unari"),
        &["`Shapes` has no RPC `unari`; did you mean `unary` (shapes.proto:7)?"],
    );
    check(
        &format!("{UNARY} async fn load_user(&self) -> u8 {{ 1 }}"),
        &["`load_user` is not an RPC of `Shapes`; move it to `impl Echo { … }`"],
    );
    check(
        &format!("{UNARY} {}", UNARY.replace("unary", "greet")),
        &["`Shapes` has no RPC `greet` (shapes.proto:6); it has `unary`, `count`, `sum`, `r#move`"],
    );
    check(
        &format!("{UNARY} const LIMIT: u8 = {{ 1 }};"),
        &["`LIMIT` is not an RPC of `Shapes`; move it to"],
    );
    check(
        &format!("{UNARY} type Reply = Pong;"),
        &["`Reply` is not an RPC of `Shapes`; move it out"],
    );
    check(
        "my::rpcs! { unary }",
        &["cannot see the methods that `my::rpcs!` writes"],
    );
    check(&format!("#[async_trait] {UNARY}"), &[]);
}

#[test]
fn a_missing_method_comes_with_its_signature() {
    let found = messages(shapes(&format!("{UNARY} {SUM}")));
    assert_eq!(found, ["\
`Shapes` lacks RPCs: `count` (shapes.proto:8), `r#move` (shapes.proto:10); add

    async fn count(&self, ctx: Context, request: other::Ping) -> Result<impl ReplyStream<Pong>, Status> {
        todo!()
    }

    async fn r#move(&self, ctx: Context, requests: Streaming<Ping>) -> Result<impl ReplyStream<Pong>, Status> {
        todo!()
    }"]);
}

#[test]
fn async_trait_is_refused_on_either_side() {
    let item: TokenStream =
        format!("#[async_trait] impl Shapes for Echo {{ {UNARY} {COUNT} {SUM} {MOVE} }}")
            .parse()
            .unwrap();
    let found = messages(expand(&item));
    assert!(
        found.len() == 1 && found[0].contains("remove `#[async_trait]`"),
        "{found:?}"
    );
    check(
        "fn unary<'life0, 'async_trait>(&'life0 self, ctx: Context, request: Ping)
            -> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = Result<Pong, Status>> + Send + 'async_trait>>
            where 'life0: 'async_trait { Box::pin(async move { todo!() }) }",
        &["remove `#[async_trait]`"],
    );
}

#[test]
fn what_is_not_in_the_contract_is_nobodys_business() {
    for unary in [
        "async fn unary(&self, ctx: micro_runtime::Context, request: shapes::Ping) -> Answer { }",
        "async fn unary(&self, _: Ctx, Ping { text }: Ping) -> micro_runtime::Result<Pong> { }",
        "async fn unary(&self, c: C, r: Renamed) -> Result<Alias, Error> { }",
        "async fn unary(&self, c: api::Ping, r: Context) -> api::Pong { }",
        "fn unary(&self, ctx: Context, request: Ping) -> impl Future<Output = Result<Pong, Status>> + Send { }",
        "fn unary(&self, ctx: Context, request: Ping) -> BoxFuture<'_, Result<Pong, Status>> { }",
        "async fn unary<'a>(&'a self, ctx: Context, request: Ping) -> Result<Pong, Status> { }",
        "async fn unary(self: &Self, ctx: Context, request: Ping) -> Result<Pong, Status> { }",
        "async fn unary(&self, ctx: Context, request: Streaming<Other>) -> Result<Pong, Status> { }",
        "#[tracing::instrument] /// docs\n #[cfg(x)] async fn unary(&self, ctx: Context, request: Ping) -> Result<Pong, Status> { }",
    ] {
        check(unary, &[]);
    }
}
