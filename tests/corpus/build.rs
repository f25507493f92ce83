//! Generates one module for each case of micro-build's corpus: a file, or a folder of files that import each
//! other. A new case needs only a new file.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../micro-build/tests");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut modules = String::new();
    for (group, include) in [("corpus", true), ("golden", false)] {
        let folder = root.join(group);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut entries = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>, std::io::Error>>()?;
        entries.sort();
        for entry in entries {
            let name = entry.file_stem().unwrap_or_default().to_string_lossy();
            if include {
                let case = compile(&entry, &folder, &out.join(&*name))?;
                writeln!(
                    modules,
                    "/// `{name}`.\npub mod {name} {{ include!({case:?}); }}"
                )?;
            } else if entry.extension().is_some_and(|ending| ending == "rs") {
                let golden = entry.canonicalize()?;
                writeln!(
                    modules,
                    "/// `{name}`.\npub mod golden_{name} {{ include!({golden:?}); }}"
                )?;
            }
        }
    }
    fs::write(out.join("corpus.rs"), modules)?;
    Ok(())
}

fn compile(entry: &Path, corpus: &Path, out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out)?;
    let (include, protos) = match entry.is_dir() {
        true => (entry, protos_below(entry)?),
        false => (corpus, vec![entry.to_owned()]),
    };
    micro_build::Config::new()
        .out_dir(out)
        .include_file("all.rs")
        .compile(&protos, &[include])?;
    Ok(out.join("all.rs"))
}

fn protos_below(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut protos = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => protos.extend(protos_below(&path)?),
            false => protos.push(path),
        }
    }
    protos.sort();
    Ok(protos)
}
