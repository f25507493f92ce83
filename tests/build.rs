//! What a user's build script looks like.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(
        &["greeter.proto", "behavior.proto", "shapes.proto"],
        &["../examples/hello/proto", "proto"],
    )
}
