//! A build script as users write it, and two versions of one package beside each other.

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
            "json.proto",
            "elements.proto",
        ],
        &["../examples/hello/proto", "proto"],
    )?;
    // In a separate run, which does not see the service and so accepts the overlap.
    micro_build::compile(&["overlapping.proto"], &["proto"])?;
    let out = env::var("OUT_DIR")?;
    let wide = Path::new(&out).join("wide");
    fs::create_dir_all(&wide)?;
    let (path, proto) = (wide.join("wide.proto"), wide_proto());
    if !fs::read_to_string(&path).is_ok_and(|found| found == proto) {
        fs::write(&path, proto)?;
    }
    micro_build::compile(&["wide.proto"], &[&wide])?;
    for version in ["old", "new"] {
        let folder = Path::new(&out).join("rolling").join(version);
        fs::create_dir_all(&folder)?;
        micro_build::Config::new()
            .out_dir(folder)
            .compile(&["rolling.proto"], &[format!("proto/rolling/{version}")])?;
    }
    Ok(())
}

/// Returns a .proto file with a service of 200 methods, whose descriptors exceed 64 KiB.
fn wide_proto() -> String {
    let methods = (0..200).map(|n| format!("  rpc Method{n}(Word) returns (Word);\n"));
    let values = (1..2500).map(|n| format!("  LETTER_WITH_A_LONG_NAME_{n} = {n};\n"));
    format!(
        "syntax = \"proto3\";\npackage wide.v1;\n// Has many methods.\nservice Wide {{\n{}}}\n\
         message Word {{\n  Letter letter = 1;\n  string text = 2;\n}}\n\
         enum Letter {{\n  LETTER_UNSPECIFIED = 0;\n{}}}\n",
        methods.collect::<String>(),
        values.collect::<String>(),
    )
}
