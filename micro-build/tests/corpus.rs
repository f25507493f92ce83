//! Generates code for every case in `corpus/`: in any order of files, from sources and descriptors.
//!
//! A case is a file, or a folder of files that belong together. The crate in `/tests/corpus` compiles
//! the generated code.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use micro_build::Config;
use support::contents;

/// Include folder and files of one case.
type Case = (PathBuf, Vec<PathBuf>);

fn cases() -> BTreeMap<String, Case> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case = match path.is_dir() {
            true => (path.clone(), protos_below(&path)),
            false => (corpus.clone(), vec![path]),
        };
        cases.insert(name, case);
    }
    cases
}

fn protos_below(folder: &Path) -> Vec<PathBuf> {
    let mut protos = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => protos.extend(protos_below(&path)),
            false => protos.push(path),
        }
    }
    protos.sort();
    protos
}

fn compile(protos: &[PathBuf], include: &Path) -> BTreeMap<String, Vec<u8>> {
    let out_dir = support::folder();
    Config::new()
        .out_dir(out_dir.path())
        .include_file("all.rs")
        .file_descriptor_set_path(out_dir.path().join("all.bin"))
        .compile(protos, &[include])
        .unwrap_or_else(|error| panic!("{}: {error}", protos[0].display()));
    contents(out_dir.path())
}

#[test]
fn the_corpus_has_at_least_60_cases() {
    assert!(cases().len() >= 60, "{}", cases().len());
}

#[test]
fn every_case_generates_valid_rust() {
    for (name, (include, protos)) in cases() {
        for (file, content) in compile(&protos, &include) {
            if file.ends_with(".rs") {
                let code = String::from_utf8(content).unwrap();
                syn::parse_file(&code)
                    .unwrap_or_else(|error| panic!("{name}, {file}: {error}\n{code}"));
            }
        }
    }
}

#[test]
fn the_output_does_not_depend_on_the_order_of_files() {
    for (name, (include, mut protos)) in cases() {
        let forward = compile(&protos, &include);
        protos.reverse();
        assert_eq!(forward, compile(&protos, &include), "{name}");
        protos.extend(protos.clone());
        assert_eq!(forward, compile(&protos, &include), "{name}");
    }
}

#[test]
fn the_output_contains_no_local_path() {
    for (name, (include, protos)) in cases() {
        for (file, content) in compile(&protos, &include) {
            let text = String::from_utf8_lossy(&content);
            assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{name}, {file}");
        }
    }
}

#[test]
fn descriptor_sets_generate_the_same_code_as_sources() {
    for (name, (include, protos)) in cases() {
        let from_source = compile(&protos, &include);
        let out_dir = support::folder();
        Config::new()
            .out_dir(out_dir.path())
            .include_file("all.rs")
            .file_descriptor_set_path(out_dir.path().join("all.bin"))
            .compile_descriptor_set(&from_source["all.bin"])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let from_descriptors = contents(out_dir.path());
        for (file, content) in from_source {
            assert_eq!(
                String::from_utf8_lossy(&from_descriptors[&file]),
                String::from_utf8_lossy(&content),
                "{name}, {file}"
            );
        }
    }
}
