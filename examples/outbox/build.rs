//! Generates the types of the events from the .proto; no protoc is needed.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(&["proto/shop.proto"], &["proto"])
}
