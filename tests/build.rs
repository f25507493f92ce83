//! What a user's build script looks like, and two versions of one package beside each other.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    micro_build::compile(
        &[
            "greeter.proto",
            "behavior.proto",
            "shapes.proto",
            "streams.proto",
            "market.proto",
        ],
        &["../examples/hello/proto", "proto"],
    )?;
    // In a run of its own, which does not see the service.
    micro_build::compile(&["greedy.proto"], &["proto"])?;
    let out = env::var("OUT_DIR")?;
    for version in ["old", "new"] {
        let folder = Path::new(&out).join("rolling").join(version);
        fs::create_dir_all(&folder)?;
        micro_build::Config::new()
            .out_dir(folder)
            .compile(&["rolling.proto"], &[format!("proto/rolling/{version}")])?;
    }
    Ok(())
}
