//! The .proto files of the wire: the folder `proto` of this crate, and its copy in `docs/proto`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use micro_build::{Config, proto_dir};

/// Returns the folder to take away.
fn docs_proto() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/proto"))
}

/// Returns the contents of the files with this ending below a folder, by their path from there.
fn files(folder: &Path, ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(ending) {
                let name = name.replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_folder_to_take_away_has_the_files_of_this_crate() {
    let ours = files(&proto_dir(), ".proto");
    assert!(ours.contains_key("micro/v1/frame.proto"), "{ours:?}");
    let copy = files(&docs_proto(), ".proto");
    assert_eq!(
        Vec::from_iter(ours.keys()),
        Vec::from_iter(copy.keys()),
        "copy micro-build/proto to docs/proto"
    );
    for (name, text) in &ours {
        assert_eq!(
            text, &copy[name],
            "copy micro-build/proto/{name} to docs/proto"
        );
    }
}

#[test]
fn the_built_in_compiler_reads_every_file() {
    let paths: Vec<PathBuf> = files(&docs_proto(), ".proto")
        .keys()
        .map(|name| docs_proto().join(name))
        .collect();
    let out = support::folder();
    Config::new()
        .out_dir(out.path())
        .compile(&paths, &[docs_proto()])
        .unwrap();
    let generated = files(out.path(), ".rs");
    for package in ["micro.v1.rs", "google.rpc.rs", "grpc.health.v1.rs"] {
        assert!(generated.contains_key(package), "{:?}", generated.keys());
    }
}

/// Needs no folder besides that of protobuf itself: googleapis is not needed.
#[test]
fn protoc_generates_code_of_other_languages() {
    let out = support::folder();
    for plugin in ["java", "csharp", "python", "cpp"] {
        let folder = out.path().join(plugin);
        fs::create_dir(&folder).unwrap();
        let mut protoc = Command::new(protoc_bin_vendored::protoc_bin_path().unwrap());
        protoc.arg("-I").arg(docs_proto());
        protoc
            .arg("-I")
            .arg(protoc_bin_vendored::include_path().unwrap());
        protoc.arg(format!("--{plugin}_out={}", folder.display()));
        let output = protoc
            .args(files(&docs_proto(), ".proto").keys())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{plugin}: {printed}");
    }
    let written = files(out.path(), ".java");
    for name in [
        "java/micro/v1/Frame.java",
        "java/com/google/rpc/Status.java",
        "java/com/google/rpc/ErrorInfo.java",
        "java/io/grpc/health/v1/HealthCheckResponse.java",
    ] {
        assert!(written.contains_key(name), "{name}: {:?}", written.keys());
    }
}
