//! A companion table of another version.

use micro_runtime::service;

/// A table as a later micro-build might write it.
#[rustfmt::skip]
macro_rules! Greeter {
    ($($input:tt)*) => {
        micro_runtime::codegen::service_impl! {
            runtime(micro_runtime)
            service(Greeter "greeter.v1.Greeter" "greeter.proto:6")
            messages
            events(on_trade "Trade")
            $($input)*
        }
    };
}

trait Greeter {}

struct English;

#[service]
impl Greeter for English {}

fn main() {
    let _ = English;
}
