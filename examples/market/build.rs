//! Turns the .proto into Rust, and into the descriptors that Python makes its classes of.

use std::env;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = Path::new(&env::var("OUT_DIR")?).join("market.fds.bin");
    micro_build::Config::new()
        .file_descriptor_set_path(descriptors)
        .compile(&["proto/market.proto"], &["proto"])?;
    Ok(())
}
