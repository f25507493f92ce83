//! Converts errors of protox, and adds the line, the cause, notes and hints to their text.

use std::error::Error as _;
use std::path::Path;

use miette::Diagnostic as _;
use prost_reflect::{DescriptorPool, Kind};

use crate::descriptors::{OPTIONS_FILE, SourceLocations};
use crate::error::{Error, ErrorKind, Location, Problem};
use crate::suggestions::closest_first;

/// Converts the `error` of compiling `proto`.
///
/// `pool` contains the files that were compiled before the error.
pub(crate) fn convert(
    error: protox::Error,
    pool: &DescriptorPool,
    proto: &Path,
    includes: &[impl AsRef<Path>],
) -> Error {
    let text = error.to_string();
    let mut message = text.clone();
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
        edition_hint(&text),
        option_fields_hint(&text, pool),
        missing_import_hint(&text),
        include_path_hint(&text, proto, includes),
    ];
    let line = line_of(&error);
    for note in notes_at_other_lines(&error, line)
        .into_iter()
        .chain(first_definition_note(&text, pool))
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

/// Returns the line of the error, counted from 1.
///
/// protox exposes the line in the `Debug` text only.
fn line_of(error: &protox::Error) -> Option<u32> {
    let text = format!("{error:?}");
    let place = text.strip_prefix(error.file()?)?.strip_prefix(':')?;
    place.split(':').next()?.parse().ok()
}

/// Returns the labels of the error that point at lines other than `line`.
fn notes_at_other_lines(error: &protox::Error, line: Option<u32>) -> Vec<String> {
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

/// Returns the position of the first definition, for `name 'a.B' is already defined in file 'b.proto'`.
fn first_definition_note(text: &str, pool: &DescriptorPool) -> Option<String> {
    let (name, _) = text
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
    Some(format!(
        "first defined at {}",
        SourceLocations::of(&file).at(&path)
    ))
}

fn edition_hint(text: &str) -> Option<String> {
    text.ends_with("but found 'edition'").then(|| {
        "the built-in compiler does not read files with `edition`; set `Config::protoc` to compile \
         with protoc"
            .to_owned()
    })
}

/// Returns the fields of an option's message, for `… option '(micro.v1.service).versoin' …`.
fn option_fields_hint(text: &str, pool: &DescriptorPool) -> Option<String> {
    let (_, name) = text.split_once("'(")?;
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

/// Returns why a file is in no include folder: a folder or the file does not exist, or the file is
/// outside of all folders.
fn include_path_hint(text: &str, proto: &Path, includes: &[impl AsRef<Path>]) -> Option<String> {
    if !text.ends_with("is not in any include path") {
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

/// Returns the import to add, for `name 'google.protobuf.Empty' is not defined`.
///
/// Only files that are available without an include folder are suggested.
fn missing_import_hint(text: &str) -> Option<String> {
    let (name, _) = text
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
