//! Full paths in place of imports.

struct English;

#[micro_runtime::service]
impl micro_ui_tests::greeter::Greeter for English {
    async fn say_hello(
        &self,
        _: ::micro_runtime::Context,
        request: ::micro_ui_tests::greeter::HelloRequest,
    ) -> ::core::result::Result<micro_ui_tests::greeter::HelloReply, ::micro_runtime::Status> {
        Ok(micro_ui_tests::greeter::HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = micro_ui_tests::greeter::GreeterServer::new(English);
}
