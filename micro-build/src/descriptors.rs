//! The compiled `.proto` files of one run, with their comments and source positions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use bytes::Bytes;
use prost::encoding;
use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};
use prost_types::source_code_info::Location as Span;

use crate::error::Location;

/// Name of the file with the custom options of this crate, for which no code is generated.
pub(crate) const OPTIONS_FILE: &str = "micro/v1/options.proto";

/// All files of one run, ordered by name, so that the output does not depend on the order of input.
#[derive(Debug)]
pub(crate) struct FileSet {
    pub(crate) pool: DescriptorPool,
    files: BTreeMap<String, SourceFile>,
}

/// One compiled file.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) descriptor: FileDescriptor,
    /// The serialized `FileDescriptorProto`, with custom options and unknown fields.
    pub(crate) raw: Bytes,
    /// The path on disk; `None` for files that are part of this crate or of a descriptor set.
    pub(crate) path: Option<PathBuf>,
    /// Whether the user requested the file, in contrast to an import.
    pub(crate) requested: bool,
}

/// Comments and line numbers of one file, by the path of the element in the descriptor.
///
/// A path is the list of field numbers and indexes that `google.protobuf.SourceCodeInfo` defines.
#[derive(Debug)]
pub(crate) struct SourceLocations<'a> {
    file: &'a str,
    spans: HashMap<&'a [i32], &'a Span>,
}

impl FileSet {
    pub(crate) fn new(pool: DescriptorPool, files: impl IntoIterator<Item = SourceFile>) -> Self {
        let files = files
            .into_iter()
            .map(|file| (file.descriptor.name().to_owned(), file))
            .collect();
        Self { pool, files }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Sets the path of every file that has none to the result of `find`.
    pub(crate) fn locate(&mut self, find: impl Fn(&str) -> Option<PathBuf>) {
        for (name, file) in &mut self.files {
            file.path = file.path.take().or_else(|| find(name));
        }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.values()
    }

    /// Returns the files to generate code for: the requested ones, and those whose types they use.
    ///
    /// A file that is imported for its options only, such as `google/api/annotations.proto`, is not
    /// among them.
    pub(crate) fn generated(&self) -> Vec<&SourceFile> {
        let mut wanted = BTreeSet::new();
        let mut queue: Vec<FileDescriptor> = self
            .files()
            .filter(|file| file.requested && file.descriptor.name() != OPTIONS_FILE)
            .map(|file| file.descriptor.clone())
            .collect();
        while let Some(file) = queue.pop() {
            if wanted.insert(file.name().to_owned()) {
                queue.extend(used_files(&file).into_values());
            }
        }
        self.files()
            .filter(|file| wanted.contains(file.descriptor.name()))
            .collect()
    }

    /// Returns a serialized `FileDescriptorSet` of the files with services in `package` and all their
    /// imports, each file after its imports, with the bytes that the compiler wrote.
    pub(crate) fn embedded(&self, package: &str) -> Vec<u8> {
        self.encode_with_imports(|file| file.package_name() == package && file.services().len() > 0)
    }

    /// Returns a serialized `FileDescriptorSet` of all files, each after its imports.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_with_imports(|_| true)
    }

    /// Returns an import cycle, if there is one: each file imports the next, and the last is the first.
    pub(crate) fn import_cycle(&self) -> Option<Vec<String>> {
        let mut order = ImportOrder::default();
        self.files()
            .find_map(|file| order.push(&file.descriptor).err())
    }

    fn encode_with_imports(&self, wanted: impl Fn(&FileDescriptor) -> bool) -> Vec<u8> {
        let mut order = ImportOrder::default();
        for file in self.files().filter(|file| wanted(&file.descriptor)) {
            // This cannot fail: both compilers and `descriptor_set` reject import cycles.
            let _ = order.push(&file.descriptor);
        }
        let mut set = Vec::new();
        for file in order.done.iter().filter_map(|name| self.files.get(name)) {
            encoding::bytes::encode(1, &file.raw, &mut set);
        }
        set
    }
}

/// Topological order of files: each file is after its imports.
#[derive(Default)]
struct ImportOrder {
    done: Vec<String>,
    known: HashSet<String>,
    /// The files whose imports are being added: the path from the first file to the current one.
    open: Vec<String>,
}

impl ImportOrder {
    /// Adds `file` after its imports.
    ///
    /// # Errors
    ///
    /// Fails with the import cycle, if the file is part of one.
    fn push(&mut self, file: &FileDescriptor) -> Result<(), Vec<String>> {
        let name = file.name();
        if self.known.contains(name) {
            return Ok(());
        }
        if let Some(start) = self.open.iter().position(|open| open == name) {
            let mut cycle = self.open.split_off(start);
            cycle.push(name.to_owned());
            return Err(cycle);
        }
        self.open.push(name.to_owned());
        file.dependencies()
            .try_for_each(|import| self.push(&import))?;
        self.open.pop();
        self.known.insert(name.to_owned());
        self.done.push(name.to_owned());
        Ok(())
    }
}

impl<'a> SourceLocations<'a> {
    pub(crate) fn of(file: &'a FileDescriptor) -> Self {
        let info = file.file_descriptor_proto().source_code_info.as_ref();
        let spans = info
            .map(|info| {
                info.location
                    .iter()
                    .map(|span| (span.path.as_slice(), span))
                    .collect()
            })
            .unwrap_or_default();
        Self {
            file: file.name(),
            spans,
        }
    }

    /// Returns the position of the element at `path`, or of the closest enclosing element that has one.
    pub(crate) fn at(&self, path: &[i32]) -> Location {
        let line = (1..=path.len())
            .rev()
            .find_map(|len| self.spans.get(&path[..len]))
            .and_then(|span| span.span.first())
            .and_then(|line| u32::try_from(*line).ok())
            .map(|line| line.saturating_add(1));
        Location {
            file: self.file.to_owned(),
            line,
        }
    }

    /// Returns the lines of the comment before the element at `path`, then those of the comment after it.
    pub(crate) fn comment(&self, path: &[i32]) -> Vec<String> {
        let Some(span) = self.spans.get(path) else {
            return Vec::new();
        };
        let mut lines = comment_lines(span.leading_comments());
        let trailing = comment_lines(span.trailing_comments());
        if !lines.is_empty() && !trailing.is_empty() {
            lines.push(String::new());
        }
        lines.extend(trailing);
        lines
    }
}

fn comment_lines(comment: &str) -> Vec<String> {
    comment.lines().map(str::to_owned).collect()
}

/// Returns the files that define the types of the fields and methods of `file`, by name.
fn used_files(file: &FileDescriptor) -> BTreeMap<String, FileDescriptor> {
    let mut used = BTreeMap::new();
    let mut add = |file: FileDescriptor| drop(used.insert(file.name().to_owned(), file));
    for method in file
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        add(method.input().parent_file());
        add(method.output().parent_file());
    }
    let mut messages: Vec<MessageDescriptor> = file.messages().collect();
    while let Some(message) = messages.pop() {
        messages.extend(message.child_messages());
        for field in message.fields() {
            match field.kind() {
                Kind::Message(message) => add(message.parent_file()),
                Kind::Enum(enumeration) => add(enumeration.parent_file()),
                _ => {}
            }
        }
    }
    used
}
