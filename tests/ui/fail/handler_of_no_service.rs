//! A server around a type that serves nothing.

use micro_tests::greeter::GreeterServer;

struct English;

fn main() {
    let _ = GreeterServer::new(English);
}
