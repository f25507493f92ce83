//! Says what an error of the built-in compiler leaves out: the line, the reason, the way on.

use std::error::Error as _;
use std::path::Path;

use miette::Diagnostic as _;
use prost_reflect::{DescriptorPool, Kind};

use crate::descriptors::{Lines, OPTIONS_FILE};
use crate::error::{Error, ErrorKind, Location, Problem};
use crate::suggestions::closest_first;

/// `error` in our words. It arose when `proto` was opened; `pool` has what was compiled before.
pub(crate) fn explain(
    error: protox::Error,
    pool: &DescriptorPool,
    proto: &Path,
    includes: &[impl AsRef<Path>],
) -> Error {
    let said = error.to_string();
    let mut message = said.clone();
    let mut source = error.source();
    while let Some(reason) = source {
        message.push_str(&format!(": {reason}"));
        source = reason.source();
    }
    if let Some(reason) = error.diagnostic_source() {
        message.push_str(&format!(": {reason}"));
    }
    let hints = [
        error.help().map(|help| help.to_string()),
        edition(&said),
        fields_of_option(&said, pool),
        missing_import(&said),
        not_included(&said, proto, includes),
    ];
    let line = line_of(&error);
    for note in others_at(&error, line)
        .into_iter()
        .chain(first_definition(&said, pool))
    {
        message.push_str(&format!("\n  note: {note}"));
    }
    for hint in hints.into_iter().flatten() {
        message.push_str(&format!("\n  help: {hint}"));
    }
    let problem = match error.file() {
        Some(file) => {
            let at = Location {
                file: file.to_owned(),
                line: line_of(&error),
            };
            Problem::at(&at, message)
        }
        None => Problem::anywhere(message),
    };
    Error::one(ErrorKind::Compile, problem).with_source(error)
}

/// The line at which the error arose, counted from 1. Only `Debug` tells.
fn line_of(error: &protox::Error) -> Option<u32> {
    let said = format!("{error:?}");
    let place = said.strip_prefix(error.file()?)?.strip_prefix(':')?;
    place.split(':').next()?.parse().ok()
}

/// What the compiler points at besides, on other lines than `line`.
fn others_at(error: &protox::Error, line: Option<u32>) -> Vec<String> {
    let (Some(file), Some(source)) = (error.file(), error.source_code()) else {
        return Vec::new();
    };
    let note = |label: miette::LabeledSpan| {
        let found = source.read_span(label.inner(), 0, 0).ok()?.line() + 1;
        let is_other = u32::try_from(found).ok() != line;
        is_other.then(|| format!("{} at {file}:{found}", label.label().unwrap_or("see")))
    };
    error
        .labels()
        .into_iter()
        .flatten()
        .filter_map(note)
        .collect()
}

/// For `name 'a.B' is already defined in file 'b.proto'`: where.
fn first_definition(said: &str, pool: &DescriptorPool) -> Option<String> {
    let (name, _) = said
        .strip_prefix("name '")?
        .split_once("' is already defined in file")?;
    let message = pool
        .get_message_by_name(name)
        .map(|found| (found.parent_file(), found.path().to_vec()));
    let enumeration = || {
        pool.get_enum_by_name(name)
            .map(|found| (found.parent_file(), found.path().to_vec()))
    };
    let service = || {
        pool.get_service_by_name(name)
            .map(|found| (found.parent_file(), found.path().to_vec()))
    };
    let (file, path) = message.or_else(enumeration).or_else(service)?;
    Some(format!("first defined at {}", Lines::of(&file).at(&path)))
}

fn edition(said: &str) -> Option<String> {
    said.ends_with("but found 'edition'").then(|| {
        "the built-in compiler does not read files with `edition`; set `Config::protoc` to compile \
         with protoc"
            .to_owned()
    })
}

/// For `… option '(micro.v1.service).versoin' …`: what its message has.
fn fields_of_option(said: &str, pool: &DescriptorPool) -> Option<String> {
    let (_, name) = said.split_once("'(")?;
    let (name, rest) = name.split_once(')')?;
    let name = name.trim_start_matches('.');
    let wanted = rest
        .trim_start_matches('.')
        .split('\'')
        .next()
        .unwrap_or_default();
    let extension = pool.all_extensions().find(|extension| {
        let before = extension.full_name().strip_suffix(name);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })?;
    let Kind::Message(message) = extension.kind() else {
        return None;
    };
    let fields: Vec<String> = message
        .fields()
        .map(|field| field.name().to_owned())
        .collect();
    let fields = closest_first(wanted, fields.iter().map(String::as_str));
    Some(format!("`{}` has the fields {fields}", message.full_name()))
}

/// For a file that no include folder holds: what is wrong with the file, or with the folders.
fn not_included(said: &str, proto: &Path, includes: &[impl AsRef<Path>]) -> Option<String> {
    if !said.ends_with("is not in any include path") {
        return None;
    }
    let includes = includes.iter().map(AsRef::as_ref);
    if let Some(missing) = includes.clone().find(|include| !include.is_dir()) {
        return Some(format!("there is no folder {}", missing.display()));
    }
    if !proto.exists() && !includes.clone().any(|include| include.join(proto).exists()) {
        return Some("there is no such file".to_owned());
    }
    let includes: Vec<String> = includes
        .map(|include| include.display().to_string())
        .collect();
    Some(format!(
        "it has to be below one of: {}",
        includes.join(", ")
    ))
}

/// For `name 'google.protobuf.Empty' is not defined`: the file to import, if it is one that is
/// always there.
fn missing_import(said: &str) -> Option<String> {
    let (name, _) = said
        .strip_prefix("name '")?
        .split_once("' is not defined")?;
    let name = name.trim_start_matches('.');
    let file = match name.starts_with("micro.v1.") {
        true => OPTIONS_FILE.to_owned(),
        false => {
            let known = DescriptorPool::global();
            let message = known
                .get_message_by_name(name)
                .map(|found| found.parent_file());
            let found = message.or_else(|| {
                known
                    .get_enum_by_name(name)
                    .map(|found| found.parent_file())
            })?;
            found.name().to_owned()
        }
    };
    Some(format!("add `import \"{file}\";`"))
}
