//! A generated server around a type that implements no service.

use micro_ui_tests::greeter::GreeterServer;

struct English;

fn main() {
    let _ = GreeterServer::new(English);
}
