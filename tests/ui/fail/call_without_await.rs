//! A call that nobody sends.

#![deny(unused_must_use)]

use micro_runtime::Bus;
use micro_tests::greeter::{GreeterClient, HelloRequest};

async fn hello() {
    let greeter: GreeterClient = Bus::in_process().client();
    greeter.say_hello(HelloRequest::default());
}

fn main() {
    drop(hello());
}
