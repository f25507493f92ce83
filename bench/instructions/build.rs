//! Generates the counted service and event.

fn main() -> Result<(), micro_build::Error> {
    micro_build::compile(&["counted.proto"], &["proto"])
}
