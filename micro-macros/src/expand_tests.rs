//! Output of the macros for valid and invalid impls.

use quote::quote;

use super::tests::{COUNT, MOVE, SUM, UNARY, messages, shapes, without_spaces};
use crate::expand::{service, service_impl, subscriber_impl};

#[test]
fn a_correct_impl_is_emitted_unchanged() {
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
fn service_passes_the_impl_to_the_companion_table() {
    let item = quote! { impl<T: Clone> greeter::Shapes<u8> for Echo<T> { } };
    let expected = quote! { greeter::Shapes! { user { crate = ::my_micro } { #item } } };
    assert_eq!(
        service(quote!(crate = ::my_micro), &item).to_string(),
        expected.to_string()
    );
}

/// Asserts that the handler `unary` is expanded to `expected`.
fn check(unary: &str, expected: &str) {
    let expanded = shapes(&format!("{unary} {COUNT} {SUM} {MOVE}")).to_string();
    let (expanded, expected) = (without_spaces(&expanded), without_spaces(expected));
    assert!(
        expanded.contains(&expected),
        "{unary}\n{expanded}\n{expected}"
    );
}

#[test]
fn a_wrong_signature_is_repaired() {
    let rest = "-> Result<Pong, Status> { half. }";
    let right = "async fn unary(&self, ctx: Context, request: Ping)";
    for (wrong, right) in [
        ("fn unary(&self, ctx: Context, request: Ping)", right),
        ("async fn unari(&self, ctx: Context, request: Ping)", right),
        ("async fn unary(ctx: Context, request: Ping)", right),
        ("async fn unary(&self, request: Ping, ctx: Context)", right),
        (
            "async fn unary(&self, request: Ping)",
            "async fn unary(&self, _: ::micro_runtime::Context, request: Ping)",
        ),
        (
            "async fn unary(&self, ctx: Context)",
            "async fn unary(&self, ctx: Context, _: Self::__unary_request)",
        ),
    ] {
        check(&format!("{wrong} {rest}"), &format!("{right} {rest}"));
    }
}

#[test]
fn a_body_that_does_not_fit_the_repaired_signature_is_dropped() {
    let rest = "-> Result<Pong, Status> { half. }";
    for wrong in [
        "async fn unary(&mut self, ctx: Context, request: Ping)",
        "async fn unary(self, ctx: Context, request: Ping)",
        "async fn unary<T>(&self, ctx: Context, request: Ping)",
        "async unsafe fn unary(&self, ctx: Context, request: Ping)",
        "async fn unary(&self, ctx: Context, request: Ping, more: u8)",
    ] {
        check(
            &format!("{wrong} {rest}"),
            "#[allow(unreachable_code, unused_variables)]
            async fn unary(&self, ctx: Context, request: Ping) -> Result<Pong, Status> {
                ::core::unreachable!()
            }",
        );
    }
    for output in [
        "",
        "-> Pong",
        "-> Result<impl ReplyStream<Pong>, Status>",
        "-> Streaming<Pong>",
    ] {
        check(
            &format!("async fn unary(&self, ctx: Context, request: Ping) {output} {{ half. }}"),
            "async fn unary(&self, ctx: Context, request: Ping)
                -> ::core::result::Result<Self::__unary_reply, ::micro_runtime::Status>
            {
                ::core::unreachable!()
            }",
        );
    }
}

#[test]
fn missing_methods_are_added_and_other_items_are_moved_out() {
    check(
        "const LIMIT: u8 = 1; fn helper(&self) { half. }",
        "#[allow(dead_code)] impl Echo { const LIMIT: u8 = 1; fn helper(&self) { half. } }",
    );
    check(
        "",
        "async fn unary(&self, _: ::micro_runtime::Context, _: Self::__unary_request)
            -> ::core::result::Result<Self::__unary_reply, ::micro_runtime::Status>
        {
            ::core::unreachable!()
        }",
    );
}

#[test]
fn a_handler_with_an_arc_receiver_becomes_the_hidden_method() {
    let arguments =
        "(self: Arc<Self>, _: Context, Ping { text }: Ping) -> Result<Pong, Status> { half. }";
    check(
        &format!("#[cfg(x)] async fn unary{arguments}"),
        &format!("#[cfg(x)] async fn __shared_unary{arguments}"),
    );
    check(
        &format!("#[cfg(x)] async fn unary{arguments}"),
        "#[cfg(x)] async fn unary(&self, _: ::micro_runtime::Context, _: Self::__unary_request)
            -> ::core::result::Result<Self::__unary_reply, ::micro_runtime::Status>
        {
            ::core::result::Result::Err(::micro_runtime::Status::unimplemented(",
    );
}

/// Expands an impl of `Subscriber` with the items `members`.
fn subscriber(members: &str) -> String {
    let members: proc_macro2::TokenStream = members.parse().unwrap();
    let expanded = subscriber_impl(quote! {
        runtime(::micro_runtime)
        user { } { impl Subscriber<market::Trade> for Recorder { #members } }
    });
    without_spaces(&expanded.to_string())
}

#[test]
fn a_subscriber_is_checked_against_the_runtime_trait() {
    let right = "async fn on_event(&self, ctx: Context, trade: market::Trade) -> Result<(), Status> { half. }";
    let expanded = subscriber(right);
    assert!(expanded.ends_with(&without_spaces(&format!(
        "impl Subscriber<market::Trade> for Recorder {{ {right} }}"
    ))));
    let stub = without_spaces(
        "async fn on_event(&self, _: ::micro_runtime::Context, _: market::Trade)
            -> ::core::result::Result<(), ::micro_runtime::Status> { ::core::unreachable!() }",
    );
    assert!(subscriber("").contains(&stub));
    let in_an_arc = subscriber(&right.replace("&self", "self: Arc<Self>"));
    assert!(in_an_arc.contains("asyncfn__shared_on_event(self:Arc<Self>"));
    assert!(in_an_arc.contains("through`Server::subscribe`"));
}

#[test]
fn a_table_of_another_version_is_reported() {
    let found = messages(service_impl(quote! {
        runtime(::micro_runtime)
        service(Shapes "shapes.v1.Shapes" "shapes.proto:6")
        messages
        event(on_trade "OnTrade")
        user { } { impl Shapes for Echo { } }
    }));
    assert!(
        found.len() == 1 && found[0].contains("micro-build and micro-runtime of the same version")
    );
}
