//! Lets prost write the messages, and notes which Rust types the methods use.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prost_build::{Module, ServiceGenerator};
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use crate::comments::printable;
use crate::descriptors::SourceFile;
use crate::error::{Error, ErrorKind};

/// What prost wrote.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Unformatted Rust source by package.
    pub(crate) code: BTreeMap<String, String>,
    pub(crate) types: Types,
}

/// The Rust types of every method, as seen from the module of its package.
#[derive(Debug, Default)]
pub(crate) struct Types(HashMap<String, Vec<MethodTypes>>);

#[derive(Debug)]
pub(crate) struct MethodTypes {
    pub(crate) request: String,
    pub(crate) reply: String,
}

impl Types {
    /// In the order of the methods of `service`, given by its full name.
    pub(crate) fn of(&self, service: &str) -> &[MethodTypes] {
        self.0.get(service).map_or(&[], Vec::as_slice)
    }
}

/// Generates the messages of `files`.
///
/// # Errors
///
/// Fails if prost refuses its configuration.
pub(crate) fn generate(
    files: &[&SourceFile],
    mut prost: prost_build::Config,
) -> Result<Messages, Error> {
    let types = Arc::new(Mutex::new(Types::default()));
    prost.service_generator(Box::new(Recorder(Arc::clone(&types))));

    let mut packages = BTreeMap::new();
    let mut requests = Vec::with_capacity(files.len());
    for file in files {
        let mut proto = file.descriptor.file_descriptor_proto().clone();
        // prost takes a package that is there but empty for a name.
        proto.package = proto.package.filter(|package| !package.is_empty());
        clean_comments(&mut proto);
        complete_locations(&mut proto);
        let module = Module::from_protobuf_package_name(proto.package());
        packages.insert(module.clone(), proto.package().to_owned());
        requests.push((module, proto));
    }
    let code = prost.generate(requests).map_err(|error| {
        Error::new(ErrorKind::Config, format!("prost: {error}")).with_source(error)
    })?;

    let mut messages = Messages {
        code: BTreeMap::new(),
        types: Types::default(),
    };
    for (module, package) in packages {
        messages
            .code
            .insert(package, code.get(&module).cloned().unwrap_or_default());
    }
    messages.types = std::mem::take(&mut *types.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(messages)
}

/// prost copies comments as they are; some characters would keep its code from being read.
fn clean_comments(file: &mut FileDescriptorProto) {
    for location in file
        .source_code_info
        .iter_mut()
        .flat_map(|info| &mut info.location)
    {
        location.leading_detached_comments.clear();
        let comments = [
            &mut location.leading_comments,
            &mut location.trailing_comments,
        ];
        for comment in comments.into_iter().flatten() {
            *comment = printable(comment);
        }
    }
}

/// prost takes it for granted that source information, if there is any, covers everything.
fn complete_locations(file: &mut FileDescriptorProto) {
    let Some(mut info) = file.source_code_info.take() else {
        return;
    };
    let mut missing = BTreeSet::new();
    for (index, message) in (0..).zip(&file.message_type) {
        add_message_paths(message, &[4, index], &mut missing);
    }
    for (index, enumeration) in (0..).zip(&file.enum_type) {
        add_enum_paths(enumeration, &[5, index], &mut missing);
    }
    for (index, service) in (0..).zip(&file.service) {
        missing.insert(vec![6, index]);
        let methods = (0..).zip(&service.method);
        missing.extend(methods.map(|(method, _)| vec![6, index, 2, method]));
    }
    for location in &info.location {
        missing.remove(&location.path);
    }
    info.location
        .extend(missing.into_iter().map(|path| Location {
            path,
            ..Location::default()
        }));
    file.source_code_info = Some(info);
}

fn add_message_paths(message: &DescriptorProto, path: &[i32], paths: &mut BTreeSet<Vec<i32>>) {
    let of = |list: i32, index: i32| [path, &[list, index]].concat();
    paths.insert(path.to_vec());
    paths.extend((0..).zip(&message.field).map(|(index, _)| of(2, index)));
    paths.extend(
        (0..)
            .zip(&message.oneof_decl)
            .map(|(index, _)| of(8, index)),
    );
    for (index, nested) in (0..).zip(&message.nested_type) {
        add_message_paths(nested, &of(3, index), paths);
    }
    for (index, enumeration) in (0..).zip(&message.enum_type) {
        add_enum_paths(enumeration, &of(4, index), paths);
    }
}

fn add_enum_paths(enumeration: &EnumDescriptorProto, path: &[i32], paths: &mut BTreeSet<Vec<i32>>) {
    paths.insert(path.to_vec());
    let values = (0..).zip(&enumeration.value);
    paths.extend(values.map(|(index, _)| [path, &[2, index]].concat()));
}

/// Writes no code: only prost knows what `extern_path` and nesting make of a type's name.
struct Recorder(Arc<Mutex<Types>>);

impl ServiceGenerator for Recorder {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        // prost-build 0.14.4 panics on a package for which nothing at all was written.
        buf.push('\n');
        let full_name = match service.package.as_str() {
            "" => service.proto_name,
            package => format!("{package}.{}", service.proto_name),
        };
        let types = service
            .methods
            .into_iter()
            .map(|method| MethodTypes {
                request: method.input_type,
                reply: method.output_type,
            })
            .collect();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .insert(full_name, types);
    }
}
