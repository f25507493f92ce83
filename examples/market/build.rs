//! Generates Rust code and a descriptor set from the .proto; Python builds its classes from the latter.

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
