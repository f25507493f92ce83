//! Two errors: a helper function, and a missing method.

use micro_runtime::service;
use micro_ui_tests::greeter::{Greeter, GreeterServer};

struct English;

#[service]
impl Greeter for English {
    fn greeting(&self) -> &'static str {
        "Hello"
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
