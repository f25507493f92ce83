//! Turns the .proto into the traits, the clients and the servers; no protoc is needed.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(&["proto/shop.proto"], &["proto"])
}
