//! Compiles the contracts of the cases.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(
        &["greeter.proto", "market.proto", "shapes.proto"],
        &["../../examples/hello/proto", "../proto"],
    )
}
