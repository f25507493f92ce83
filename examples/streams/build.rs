//! Turns the .proto into the trait, the client and the server; no protoc is needed.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(&["proto/studio.proto"], &["proto"])
}
