//! Python on the other side: Google's own JSON agrees with ours, and the lines of the README work.

use micro_testkit::NatsServer;

use super::bench;
use super::golden::FORMS;
use crate::script::{Script, serve_greeter};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_own_json_agrees() {
    let bench = bench().await;
    let forms = FORMS.iter().map(|(given, _)| *given).collect::<Vec<_>>();
    let forms = serde_json::to_string(&forms).unwrap();
    let mirror = Script::file("json_mirror.py").env("FORMS", &forms);
    mirror.run(&bench.nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_the_readme_call_in_json() {
    let nats = NatsServer::start().await.unwrap();
    let _server = serve_greeter(&nats).await;
    let output = Script::in_readme("application/json").run(&nats).await;
    for said in [
        "Hello, Ada!",
        "the request is not a greeter.v1.HelloRequest in JSON: `nam`: unrecognized field",
        "greeter.proto",
    ] {
        assert!(output.contains(said), "{output}");
    }
}
