//! Makes the measured service twice from one .proto, with micro-build and with tonic-prost-build.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    micro_build::compile(&["bench.proto", "events.proto"], &["proto"])?;
    let folder = Path::new(&env::var("OUT_DIR")?).join("tonic");
    fs::create_dir_all(&folder)?;
    let files = protox::compile(["bench.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .out_dir(folder)
        .compile_fds(files)?;
    Ok(())
}
