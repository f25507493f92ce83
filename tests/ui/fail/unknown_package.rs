//! A package that was not generated.

mod greeter {
    micro_runtime::include_proto!("greeter.v2");
}

fn main() {}
