//! Support for tests that compare the messages and output of the macros as tokens.
//!
//! Unlike `tests/ui`, these tests do not depend on the version of the compiler.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use super::expand::service_impl;

/// Expands an impl with the items `body` against a service with one method of each kind.
pub(super) fn shapes(body: &str) -> TokenStream {
    let members: TokenStream = body.parse().unwrap();
    expand(&quote! { impl Shapes for Echo { #members } })
}

pub(super) fn expand(item: &TokenStream) -> TokenStream {
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

pub(super) const UNARY: &str =
    "async fn unary(&self, ctx: Context, request: Ping) -> Result<Pong, Status> { half. }";
pub(super) const COUNT: &str = "async fn count(&self, ctx: Context, request: Ping) -> Result<impl ReplyStream<Pong>, Status> { todo!() }";
pub(super) const SUM: &str = "async fn sum(&self, ctx: Context, requests: Streaming<Ping>) -> Result<Pong, Status> { todo!() }";
pub(super) const MOVE: &str = "async fn r#move(&self, ctx: Context, requests: Streaming<Ping>) -> Result<impl ReplyStream<Pong>, Status> { todo!() }";

/// Returns the texts of all `compile_error!`s, in order.
pub(super) fn messages(tokens: TokenStream) -> Vec<String> {
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

/// Removes whitespace, since the text of tokens depends on the spacing of their source.
pub(super) fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Asserts that the handler `unary` causes these errors; each expectation is a part of one error.
pub(super) fn check(unary: &str, expected: &[&str]) {
    let found = messages(shapes(&format!("{unary} {COUNT} {SUM} {MOVE}")));
    assert_eq!(found.len(), expected.len(), "{unary}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{unary}\n{found}");
    }
}

/// Asserts the same of the handler `sum`, whose requests are a stream.
pub(super) fn check_sum(sum: &str, expected: &[&str]) {
    let found = messages(shapes(&format!("{UNARY} {COUNT} {sum} {MOVE}")));
    assert_eq!(found.len(), expected.len(), "{sum}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{sum}\n{found}");
    }
}
