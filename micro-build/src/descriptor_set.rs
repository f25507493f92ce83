//! Reads a serialized `FileDescriptorSet` and keeps the bytes of each file.
//!
//! The bytes are kept since prost-types drops custom options and unknown fields when it decodes them.

use std::collections::HashMap;

use bytes::{Buf as _, Bytes};
use micro_editions::without_edition;
use prost::Message;
use prost::encoding::{self, DecodeContext, WireType, decode_key, skip_field};
use prost_reflect::{DescriptorError, DescriptorPool};

use crate::descriptors::{FileSet, SourceFile};
use crate::error::{Error, ErrorKind, Location, Problem};
use crate::naming;

/// Reads `set`. `is_requested` returns whether the user requested the file of a name; all other files
/// are imports.
///
/// # Errors
///
/// Fails if the set is truncated, lacks an import or contains invalid descriptors.
pub(crate) fn read(set: Bytes, is_requested: impl Fn(&str) -> bool) -> Result<FileSet, Error> {
    let raw = split(set).map_err(|error| {
        let message = format!("this is not a complete `FileDescriptorSet`: {error}");
        Error::new(ErrorKind::Compile, message).with_source(error)
    })?;
    let mut lowered = Vec::new();
    for file in &raw {
        let file = without_edition(file.clone()).map_err(edition_error)?;
        encoding::bytes::encode(1, &file, &mut lowered);
    }
    let mut pool = DescriptorPool::new();
    pool.decode_file_descriptor_set(lowered.as_slice())
        .map_err(pool_error)?;

    // The pool drops a file that occurs twice; of two files of one name it keeps the first.
    let mut by_name = HashMap::new();
    for file in raw {
        by_name.entry(name_of(&file)).or_insert(file);
    }
    let files: Vec<SourceFile> = pool
        .files()
        .filter_map(|descriptor| {
            let raw = by_name.remove(descriptor.name())?;
            let requested = is_requested(descriptor.name());
            Some(SourceFile {
                descriptor,
                raw,
                path: None,
                requested,
            })
        })
        .collect();
    let set = FileSet::new(pool, files);
    check_package_names(&set)?;
    check_import_cycle(&set)?;
    Ok(set)
}

/// Returns the serialized files of a serialized set.
fn split(mut set: Bytes) -> Result<Vec<Bytes>, prost::DecodeError> {
    let mut files = Vec::new();
    while set.has_remaining() {
        let (tag, wire_type) = decode_key(&mut set)?;
        if tag == 1 && wire_type == WireType::LengthDelimited {
            let mut file = Bytes::new();
            encoding::bytes::merge(wire_type, &mut file, &mut set, DecodeContext::default())?;
            files.push(file);
        } else {
            skip_field(wire_type, tag, &mut set, DecodeContext::default())?;
        }
    }
    Ok(files)
}

/// The only field of `google.protobuf.FileDescriptorProto` that is read from the raw bytes.
#[derive(Clone, PartialEq, Message)]
struct FileName {
    #[prost(string, tag = "1")]
    name: String,
}

/// Returns the name of a serialized file, or an empty string if the file cannot be decoded.
fn name_of(file: &Bytes) -> String {
    FileName::decode(file.clone()).unwrap_or_default().name
}

/// Converts an error of converting a file with an edition to proto2 or proto3.
fn edition_error(error: micro_editions::Error) -> Error {
    use micro_editions::Error as Edition;
    match error {
        Edition::NotADescriptor(source) => {
            let message = format!("this is not a `FileDescriptorSet`: {source}");
            Error::new(ErrorKind::Compile, message).with_source(source)
        }
        Edition::Undecodable { ref source, .. } => {
            Error::new(ErrorKind::Compile, error.to_string()).with_source(source.clone())
        }
        Edition::Inexpressible { file, fields } => {
            let at = Location { file, line: None };
            let problem = |field| {
                let message = format!(
                    "field `{field}` is `LEGACY_REQUIRED` or `DELIMITED` in a file with `IMPLICIT` \
                     fields, which prost cannot express; move it to another file"
                );
                Problem::at(&at, message)
            };
            Error::of(ErrorKind::Check, fields.iter().map(problem).collect())
        }
        Edition::NoDescriptorProto => Error::new(ErrorKind::Internal, error.to_string()),
    }
}

/// Converts an error of building the descriptor pool.
fn pool_error(error: DescriptorError) -> Error {
    let line = error
        .line()
        .and_then(|line| u32::try_from(line).ok())
        .map(|line| line + 1);
    let problem = match error.file() {
        Some(file) => Problem::at(
            &Location {
                file: file.to_owned(),
                line,
            },
            error.to_string(),
        ),
        None => Problem::anywhere(error.to_string()),
    };
    Error::one(ErrorKind::Compile, problem).with_source(error)
}

/// Checks that every package is a valid name.
///
/// Output files are named after packages, so a package such as `../../x` in a set that was not written
/// by a compiler would lead to files outside of the output folder.
fn check_package_names(set: &FileSet) -> Result<(), Error> {
    let mut problems = Vec::new();
    for file in set.files().map(|file| &file.descriptor) {
        let package = file.package_name();
        if !package.is_empty() && !package.split('.').all(naming::is_protobuf) {
            let at = Location {
                file: file.name().to_owned(),
                line: None,
            };
            let message = format!("package `{package}` is not a name");
            problems.push(Problem::at(&at, message));
        }
    }
    Error::all(ErrorKind::Compile, problems)
}

/// Checks that no file imports itself through others.
///
/// A compiler rejects import cycles, but a set that was not written by a compiler can contain them.
fn check_import_cycle(set: &FileSet) -> Result<(), Error> {
    let Some(cycle) = set.import_cycle() else {
        return Ok(());
    };
    let message = format!("import cycle: {}", cycle.join(" -> "));
    Err(Error::new(ErrorKind::Compile, message))
}
