//! `Schema`: the descriptors of one service with everything that they import, read from its `FileDescriptorSet`.

use std::collections::HashSet;

use bytes::Bytes;
use micro_editions::without_edition;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use crate::json::text::guarded;

/// Descriptors of a service and of all messages that it uses.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    service: ServiceDescriptor,
}

/// Fields of a `FileDescriptorProto` that are checked before prost-reflect gets it.
#[derive(Clone, PartialEq, Message)]
struct FileHeader {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    imports: Vec<String>,
    #[prost(string, tag = "12")]
    syntax: String,
}

/// `google.protobuf.FileDescriptorSet` whose files are left encoded: prost's types would drop the options of users.
#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

impl Schema {
    /// Reads the serialized `FileDescriptorSet` that a service embeds or sends in reply to `_schema`. The
    /// names in it may be hostile, since a peer sent them.
    ///
    /// # Errors
    ///
    /// Why the set cannot be used, as the end of a sentence about the service.
    pub(crate) fn read(set: Bytes, service: &str) -> Result<Self, String> {
        if set.is_empty() {
            return Err("it has no descriptors".to_owned());
        }
        let mut files = FileSet::decode(set)
            .map_err(|error| format!("its descriptors are no `FileDescriptorSet`: {error}"))?;
        for file in &mut files.file {
            *file = without_edition(std::mem::take(file)).map_err(edition_error)?;
        }
        check(&files.file)?;
        let set = files.encode_to_vec();
        let pool = guarded(|| {
            DescriptorPool::decode(set.as_slice())
                .map_err(|error| format!("its descriptors do not fit together: {error}"))
        })?;
        match pool.get_service_by_name(service) {
            Some(service) => Ok(Self { service }),
            None => Err(format!("its descriptors have no service `{service}`")),
        }
    }

    /// Returns all descriptors of the set.
    pub(crate) fn pool(&self) -> &DescriptorPool {
        self.service.parent_pool()
    }

    pub(crate) fn service(&self) -> &ServiceDescriptor {
        &self.service
    }

    /// Returns the method with this name, as in `SayHello`.
    pub(crate) fn method(&self, name: &str) -> Option<MethodDescriptor> {
        self.service.methods().find(|method| method.name() == name)
    }
}

fn edition_error(error: micro_editions::Error) -> String {
    match error {
        micro_editions::Error::NotADescriptor(error) => {
            format!("its descriptors are no `FileDescriptorSet`: {error}")
        }
        error => error.to_string(),
    }
}

/// Rejects sets on which prost-reflect 0.16 panics.
fn check(files: &[Bytes]) -> Result<(), String> {
    let headers = files.iter().map(|file| FileHeader::decode(file.as_ref()));
    let headers = headers
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("its descriptors are no `FileDescriptorSet`: {error}"))?;
    let names = headers.iter().map(|header| header.name.as_str());
    let names = names.collect::<HashSet<_>>();
    for header in &headers {
        if !matches!(header.syntax.as_str(), "" | "proto2" | "proto3") {
            return Err(format!(
                "`{}` has the syntax `{}`",
                header.name, header.syntax
            ));
        }
        let is_missing = |import: &&String| !names.contains(import.as_str());
        if let Some(import) = header.imports.iter().find(is_missing) {
            return Err(format!(
                "`{}` imports `{import}`, which is missing",
                header.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
