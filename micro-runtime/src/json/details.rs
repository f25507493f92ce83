//! Descriptors of the standard details of `google.rpc.Status`, as a table in place of google/rpc/error_details.proto:
//! this crate has no build script, and the table has fewer lines than that file's serialized descriptors.

use std::sync::OnceLock;

use FieldKind::{Message, Messages, Text, TextMap, Texts};
use prost_reflect::DescriptorPool;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions};

/// Type of a field of a detail.
#[derive(Clone, Copy)]
enum FieldKind {
    Text,
    Texts,
    /// `map<string, string>`, whose entry is a nested message.
    TextMap,
    Message(&'static str),
    Messages(&'static str),
}

/// Package of the messages.
const PACKAGE: &str = "google.rpc";

/// Messages with their fields, which are numbered from 1. A nested message follows the one that it is nested in.
const MESSAGES: &[(&str, &[(&str, FieldKind)])] = &[
    (
        "ErrorInfo",
        &[("reason", Text), ("domain", Text), ("metadata", TextMap)],
    ),
    (
        "RetryInfo",
        &[("retry_delay", Message("google.protobuf.Duration"))],
    ),
    ("DebugInfo", &[("stack_entries", Texts), ("detail", Text)]),
    (
        "QuotaFailure",
        &[("violations", Messages("google.rpc.QuotaFailure.Violation"))],
    ),
    (
        "QuotaFailure.Violation",
        &[("subject", Text), ("description", Text)],
    ),
    (
        "PreconditionFailure",
        &[(
            "violations",
            Messages("google.rpc.PreconditionFailure.Violation"),
        )],
    ),
    (
        "PreconditionFailure.Violation",
        &[("type", Text), ("subject", Text), ("description", Text)],
    ),
    (
        "BadRequest",
        &[(
            "field_violations",
            Messages("google.rpc.BadRequest.FieldViolation"),
        )],
    ),
    (
        "BadRequest.FieldViolation",
        &[
            ("field", Text),
            ("description", Text),
            ("reason", Text),
            ("localized_message", Message("google.rpc.LocalizedMessage")),
        ],
    ),
    (
        "RequestInfo",
        &[("request_id", Text), ("serving_data", Text)],
    ),
    (
        "ResourceInfo",
        &[
            ("resource_type", Text),
            ("resource_name", Text),
            ("owner", Text),
            ("description", Text),
        ],
    ),
    ("Help", &[("links", Messages("google.rpc.Help.Link"))]),
    ("Help.Link", &[("description", Text), ("url", Text)]),
    ("LocalizedMessage", &[("locale", Text), ("message", Text)]),
];

/// Returns a pool with the standard details and the well-known types of protobuf.
pub(crate) fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut pool = DescriptorPool::global();
        // A test ensures that the table is consistent. If it were not, details would be written in base64.
        if let Err(error) = pool.add_file_descriptor_proto(file()) {
            tracing::error!(%error, "the standard details cannot be described");
        }
        pool
    })
}

/// Returns the table as the descriptor of a file.
fn file() -> FileDescriptorProto {
    let mut messages: Vec<DescriptorProto> = Vec::new();
    for (name, fields) in MESSAGES {
        let message = message(name, fields);
        match name.split_once('.') {
            None => messages.push(message),
            Some((outer, _)) => {
                let outer = messages.iter_mut().find(|message| message.name() == outer);
                outer
                    .into_iter()
                    .for_each(|outer| outer.nested_type.push(message.clone()));
            }
        }
    }
    FileDescriptorProto {
        name: Some("google/rpc/error_details.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        dependency: vec!["google/protobuf/duration.proto".to_owned()],
        message_type: messages,
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn message(path: &str, fields: &[(&str, FieldKind)]) -> DescriptorProto {
    let name = path.rsplit('.').next().unwrap_or(path);
    let numbered = (1..).zip(fields);
    let mut message = DescriptorProto {
        name: Some(name.to_owned()),
        field: numbered
            .map(|(n, (name, kind))| field(path, name, n, *kind))
            .collect(),
        ..DescriptorProto::default()
    };
    if fields.iter().any(|(_, kind)| matches!(kind, TextMap)) {
        message.nested_type.push(DescriptorProto {
            name: Some("MetadataEntry".to_owned()),
            field: vec![field(path, "key", 1, Text), field(path, "value", 2, Text)],
            options: Some(MessageOptions {
                map_entry: Some(true),
                ..MessageOptions::default()
            }),
            ..DescriptorProto::default()
        });
    }
    message
}

fn field(path: &str, name: &str, number: i32, kind: FieldKind) -> FieldDescriptorProto {
    let (label, protobuf_type, type_name) = match kind {
        Text => (Label::Optional, Type::String, None),
        Texts => (Label::Repeated, Type::String, None),
        Message(name) => (Label::Optional, Type::Message, Some(format!(".{name}"))),
        Messages(name) => (Label::Repeated, Type::Message, Some(format!(".{name}"))),
        TextMap => {
            let entry = format!(".{PACKAGE}.{path}.MetadataEntry");
            (Label::Repeated, Type::Message, Some(entry))
        }
    };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(protobuf_type.into()),
        type_name,
        ..FieldDescriptorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_detail_has_a_descriptor() {
        for (name, _) in MESSAGES {
            let name = format!("{PACKAGE}.{name}");
            assert!(pool().get_message_by_name(&name).is_some(), "{name}");
        }
    }
}
