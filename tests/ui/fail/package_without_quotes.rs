//! A package without quotes.

mod greeter {
    micro_runtime::include_proto!(greeter.v1);
}

fn main() {}
