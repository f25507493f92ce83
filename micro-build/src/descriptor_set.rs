//! Reads a serialized `FileDescriptorSet`, from protoc, buf or a file, without losing what prost
//! does not know.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use micro_editions::without_edition;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{DescriptorError, DescriptorPool};

use crate::descriptors::{FileSet, SourceFile};
use crate::error::{Error, ErrorKind, Location, Problem};
use crate::naming;

/// Reads `set`; `is_named` tells which files were asked for, and not merely imported.
///
/// # Errors
///
/// Fails if the set is cut off, lacks an import or holds no valid descriptors.
pub(crate) fn read(set: Bytes, is_named: impl Fn(&str) -> bool) -> Result<FileSet, Error> {
    let raw = split(set).map_err(|error| {
        let message = format!("this is not a complete `FileDescriptorSet`: {error}");
        Error::new(ErrorKind::Compile, message).with_source(error)
    })?;
    let mut lowered = Vec::new();
    for file in &raw {
        let file = without_edition(file.clone()).map_err(not_restated)?;
        prost::encoding::bytes::encode(1, &file, &mut lowered);
    }
    let mut pool = DescriptorPool::new();
    pool.decode_file_descriptor_set(lowered.as_slice())
        .map_err(refused)?;

    // The pool may leave out a file that comes twice, but it keeps the first of each name.
    let mut by_name = HashMap::new();
    for file in raw {
        let name = name_of(&file).unwrap_or_default();
        by_name.entry(name).or_insert(file);
    }
    let files: Vec<SourceFile> = pool
        .files()
        .filter_map(|descriptor| {
            let raw = by_name.remove(descriptor.name())?;
            let named = is_named(descriptor.name());
            Some(SourceFile {
                descriptor,
                raw,
                path: None,
                named,
            })
        })
        .collect();
    let set = FileSet::new(pool, files);
    packages_are_names(&set)?;
    no_cycle(&set)?;
    Ok(set)
}

/// The serialized files of a serialized set.
fn split(mut set: Bytes) -> Result<Vec<Bytes>, prost::DecodeError> {
    let mut files = Vec::new();
    while set.has_remaining() {
        let (tag, wire_type) = decode_key(&mut set)?;
        if tag == 1 && wire_type == WireType::LengthDelimited {
            files.push(take(&mut set)?);
        } else {
            skip_field(wire_type, tag, &mut set, DecodeContext::default())?;
        }
    }
    Ok(files)
}

fn name_of(file: &Bytes) -> Option<String> {
    let mut file = file.clone();
    let mut name = None;
    while file.has_remaining() {
        let (tag, wire_type) = decode_key(&mut file).ok()?;
        if tag == 1 && wire_type == WireType::LengthDelimited {
            name = String::from_utf8(take(&mut file).ok()?.into()).ok();
        } else {
            skip_field(wire_type, tag, &mut file, DecodeContext::default()).ok()?;
        }
    }
    name
}

/// The length-delimited value at the front of `buf`.
fn take(buf: &mut Bytes) -> Result<Bytes, prost::DecodeError> {
    let mut rest = buf.clone();
    let length = decode_varint(&mut rest)?;
    let present = usize::try_from(length)
        .ok()
        .filter(|length| *length <= rest.remaining());
    let Some(length) = present else {
        // prost has no public way to make its own error; skipping the value makes the right one.
        skip_field(WireType::LengthDelimited, 1, buf, DecodeContext::default())?;
        return Ok(Bytes::new());
    };
    *buf = rest.split_off(length);
    Ok(rest)
}

fn not_restated(error: micro_editions::Error) -> Error {
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

fn refused(error: DescriptorError) -> Error {
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

/// Packages name files; one that no compiler has seen could be a path to anywhere.
fn packages_are_names(set: &FileSet) -> Result<(), Error> {
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

/// A compiler never writes one, but nothing keeps a file from holding it.
fn no_cycle(set: &FileSet) -> Result<(), Error> {
    let Some(cycle) = set.import_cycle() else {
        return Ok(());
    };
    let message = format!("import cycle: {}", cycle.join(" -> "));
    Err(Error::new(ErrorKind::Compile, message))
}
