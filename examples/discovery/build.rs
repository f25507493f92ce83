//! Generates the traits, the clients and the servers from the .proto; no protoc is needed.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(&["proto/shop.proto"], &["proto"])
}
