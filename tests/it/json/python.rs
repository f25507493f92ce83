//! JSON between Rust and Python: Google's implementation agrees, and the Python code of the README works.

use micro_testkit::NatsServer;

use super::canonical_forms::FORMS;
use super::fixture::JsonFixture;
use crate::greeter::serve_greeter;
use crate::script::Script;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_json_of_google_protobuf_agrees() {
    let fixture = JsonFixture::start().await;
    let forms = FORMS.iter().map(|(given, _)| *given).collect::<Vec<_>>();
    let forms = serde_json::to_string(&forms).unwrap();
    let mirror = Script::file("json_mirror.py").env("FORMS", &forms);
    mirror.run(&fixture.nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_code_of_the_readme_calls_in_json() {
    let nats = NatsServer::start().await.unwrap();
    let _server = serve_greeter(&nats).await;
    let output = Script::in_readme("application/json").run(&nats).await;
    for line in [
        "Hello, Ada!",
        "the request is no greeter.v1.HelloRequest in JSON: `nam`: unrecognized field",
        "greeter.proto",
    ] {
        assert!(output.contains(line), "{output}");
    }
}
