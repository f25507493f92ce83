//! Lets prost write the messages, and notes which Rust types the methods use.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use prost_build::{Module, ServiceGenerator};
use prost_types::FileDescriptorProto;

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
/// Fails if prost refuses its configuration, or panics, which it does on some enums.
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
        let module = Module::from_protobuf_package_name(proto.package());
        packages.insert(module.clone(), proto.package().to_owned());
        requests.push((module, proto));
    }
    let code = catch_unwind(AssertUnwindSafe(|| prost.generate(requests)))
        .map_err(|panic| Error::new(ErrorKind::Internal, format!("prost: {}", text_of(&*panic))))?
        .map_err(|error| {
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

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panicked")
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
