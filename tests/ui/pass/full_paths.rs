//! Nothing imported at all.

struct English;

#[micro_runtime::service]
impl micro_tests::greeter::Greeter for English {
    async fn say_hello(
        &self,
        _: ::micro_runtime::Context,
        request: ::micro_tests::greeter::HelloRequest,
    ) -> ::core::result::Result<micro_tests::greeter::HelloReply, ::micro_runtime::Status> {
        Ok(micro_tests::greeter::HelloReply { message: request.name })
    }
}

fn main() {
    let _ = micro_tests::greeter::GreeterServer::new(English);
}
