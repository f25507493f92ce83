//! Generates the trait, the client and the server from the .proto; no protoc is needed.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(&["proto/greeter.proto"], &["proto"])
}
