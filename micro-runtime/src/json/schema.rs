//! The descriptors of one service with all that they import, out of its `FileDescriptorSet`.

use bytes::Bytes;
use micro_editions::without_edition;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use crate::json::text::guarded;

/// A service with its messages.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    service: ServiceDescriptor,
}

/// What a file says of itself before its contents.
#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    imports: Vec<String>,
    #[prost(string, tag = "12")]
    syntax: String,
}

/// `google.protobuf.FileDescriptorSet`, with its files as the compiler wrote them.
#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

impl Schema {
    /// Reads what a service embeds or answers under `_schema`; says in words what is wrong with it.
    pub(crate) fn read(set: Bytes, service: &str) -> Result<Self, String> {
        if set.is_empty() {
            return Err("it has no descriptors".to_owned());
        }
        let mut files = Files::decode(set)
            .map_err(|error| format!("its descriptors are no `FileDescriptorSet`: {error}"))?;
        for file in &mut files.file {
            *file = without_edition(std::mem::take(file)).map_err(not_restated)?;
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

    pub(crate) fn pool(&self) -> &DescriptorPool {
        self.service.parent_pool()
    }

    pub(crate) fn service(&self) -> &ServiceDescriptor {
        &self.service
    }

    pub(crate) fn method(&self, name: &str) -> Option<MethodDescriptor> {
        self.service.methods().find(|method| method.name() == name)
    }
}

fn not_restated(error: micro_editions::Error) -> String {
    match error {
        micro_editions::Error::NotADescriptor(error) => {
            format!("its descriptors are no `FileDescriptorSet`: {error}")
        }
        error => error.to_string(),
    }
}

/// Says in words what prost-reflect 0.16 panics at.
fn check(files: &[Bytes]) -> Result<(), String> {
    let heads = files.iter().map(|file| Head::decode(file.as_ref()));
    let heads = heads
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("its descriptors are no `FileDescriptorSet`: {error}"))?;
    for head in &heads {
        if !matches!(head.syntax.as_str(), "" | "proto2" | "proto3") {
            return Err(format!("`{}` has the syntax `{}`", head.name, head.syntax));
        }
        let is_there = |import: &&String| heads.iter().any(|head| head.name == **import);
        if let Some(import) = head.imports.iter().find(|import| !is_there(import)) {
            return Err(format!(
                "`{}` imports `{import}`, which is missing",
                head.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
