//! Messages of the rules for handlers, and signatures that the rules accept.

use proc_macro2::TokenStream;

use super::tests::{COUNT, MOVE, SUM, UNARY, check, check_sum, expand, messages, shapes};

#[test]
fn a_wrong_handler_shape_is_reported() {
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
fn wrong_arguments_are_reported() {
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
fn wrong_outputs_are_reported() {
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
fn unknown_members_are_reported() {
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
fn a_missing_method_is_reported_with_its_signature() {
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
fn async_trait_is_rejected_above_and_below_service() {
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
fn types_that_cannot_be_recognized_are_left_to_rustc() {
    for unary in [
        "async fn unary(&self, ctx: micro_runtime::Context, request: shapes::Ping) -> Outcome { }",
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
