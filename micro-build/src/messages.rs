//! Generates the messages with prost, and records the Rust types of the methods.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prost_build::{Module, ServiceGenerator};
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use crate::comments::printable;
use crate::descriptors::SourceFile;
use crate::error::{Error, ErrorKind};

/// Output of prost.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Unformatted Rust source by package.
    pub(crate) code: BTreeMap<String, String>,
    pub(crate) types: ServiceTypes,
}

/// Rust types of the methods of every service, by the full name of the service.
#[derive(Debug, Default)]
pub(crate) struct ServiceTypes(HashMap<String, Vec<MethodTypes>>);

/// Rust types of one method, as paths from the module of its package.
#[derive(Debug)]
pub(crate) struct MethodTypes {
    pub(crate) request: String,
    pub(crate) reply: String,
}

impl ServiceTypes {
    /// Returns the types of the methods of `service`, a full name, in the order of the methods.
    pub(crate) fn of(&self, service: &str) -> &[MethodTypes] {
        self.0.get(service).map_or(&[], Vec::as_slice)
    }
}

/// Generates the messages of `files`.
///
/// # Errors
///
/// Fails if prost rejects its configuration.
pub(crate) fn generate(
    files: &[&SourceFile],
    mut prost: prost_build::Config,
) -> Result<Messages, Error> {
    let types = Arc::new(Mutex::new(ServiceTypes::default()));
    prost.service_generator(Box::new(TypeRecorder(Arc::clone(&types))));

    let mut packages = BTreeMap::new();
    let mut requests = Vec::with_capacity(files.len());
    for file in files {
        let mut proto = file.descriptor.file_descriptor_proto().clone();
        // prost would treat an empty package as a name.
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
        types: ServiceTypes::default(),
    };
    for (module, package) in packages {
        messages
            .code
            .insert(package, code.get(&module).cloned().unwrap_or_default());
    }
    messages.types = std::mem::take(&mut *types.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(messages)
}

/// Removes the characters from all comments that are not allowed in Rust source.
///
/// prost copies comments unchanged, and syn could not parse its output.
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

/// Adds an empty location for each element that has none, if the file has source information.
///
/// prost-build panics if source information exists but lacks an element.
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

/// Adds the paths of `message` and its contents; the numbers are the fields of `DescriptorProto`.
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

/// Service generator that records the types of methods and writes no code.
///
/// Only prost can resolve these types, since `extern_path` and nesting change their paths.
struct TypeRecorder(Arc<Mutex<ServiceTypes>>);

impl ServiceGenerator for TypeRecorder {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        // prost-build 0.14.4 panics if nothing is written for a package.
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
