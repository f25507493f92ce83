//! `#[service]` on a function.

use micro_runtime::service;

#[service]
async fn say_hello(name: String) -> String {
    name
}

fn main() {
    drop(say_hello(String::new()));
}
