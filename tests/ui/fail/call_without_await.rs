//! A call that is never awaited, and so never sent.

#![deny(unused_must_use)]

use micro_runtime::Bus;
use micro_ui_tests::greeter::{GreeterClient, HelloRequest};

async fn hello() {
    let greeter: GreeterClient = Bus::in_process().client();
    greeter.say_hello(HelloRequest::default());
}

fn main() {
    drop(hello());
}
