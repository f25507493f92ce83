//! Converts a file with an `edition` to proto2 or proto3.
//!
//! If all fields of a file have presence, which is the default of editions, the file is equivalent to
//! proto2: on the wire, in JSON and in Rust. Any other file is equivalent to proto3, with `optional` on
//! the fields with presence.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use crate::elements::{number, parts, parts_mut, set_option, text};
use crate::error::Error;

/// Value of `FileDescriptorProto.syntax` in a file with an edition.
const EDITIONS: &str = "editions";

// Numbers of enum values in `google/protobuf/descriptor.proto`.

/// `FeatureSet.FieldPresence.IMPLICIT`.
const IMPLICIT: i32 = 2;
/// `FeatureSet.FieldPresence.LEGACY_REQUIRED`.
const LEGACY_REQUIRED: i32 = 3;
/// `FeatureSet.RepeatedFieldEncoding.EXPANDED`.
const EXPANDED: i32 = 2;
/// `FeatureSet.MessageEncoding.DELIMITED`.
const DELIMITED: i32 = 2;
const LABEL_OPTIONAL: i32 = 1;
const LABEL_REQUIRED: i32 = 2;
const LABEL_REPEATED: i32 = 3;
const TYPE_GROUP: i32 = 10;
const TYPE_MESSAGE: i32 = 11;
const TYPE_STRING: i32 = 9;
const TYPE_BYTES: i32 = 12;

/// Converts a serialized `FileDescriptorProto` to proto2 or proto3.
///
/// A file without an edition is returned unchanged.
///
/// # Errors
///
/// Fails if `file` is not a `FileDescriptorProto`, or combines features that neither proto2 nor proto3
/// can express in one file.
///
/// # Examples
///
/// ```
/// use prost::Message as _;
/// use prost_types::FileDescriptorProto;
///
/// let file = FileDescriptorProto {
///     name: Some("a.proto".to_owned()),
///     syntax: Some("editions".to_owned()),
///     ..FileDescriptorProto::default()
/// };
/// let converted = micro_editions::without_edition(file.encode_to_vec().into())?;
/// assert_eq!(FileDescriptorProto::decode(converted)?.syntax(), "proto2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn without_edition(file: Bytes) -> Result<Bytes, Error> {
    let header = FileHeader::decode(file.as_ref()).map_err(Error::NotADescriptor)?;
    if header.syntax != EDITIONS {
        return Ok(file);
    }
    let kind = DescriptorPool::global()
        .get_message_by_name("google.protobuf.FileDescriptorProto")
        .ok_or(Error::NoDescriptorProto)?;
    let mut file = match DynamicMessage::decode(kind, file) {
        Ok(file) => file,
        Err(source) => {
            let file = header.name;
            return Err(Error::Undecodable { file, source });
        }
    };
    let inherited = Features::default().overridden_by(&file);
    let implicit = parts(&file, "message_type").any(|part| has_implicit_fields(part, &inherited));
    let mut conversion = Conversion {
        is_proto3: implicit,
        inexpressible: Vec::new(),
    };
    for message in parts_mut(&mut file, "message_type") {
        conversion.message(message, &inherited);
    }
    for extension in parts_mut(&mut file, "extension") {
        conversion.field(extension, &inherited, &HashSet::new());
    }
    if !conversion.inexpressible.is_empty() {
        return Err(Error::Inexpressible {
            file: header.name,
            fields: conversion.inexpressible,
        });
    }
    let target = if implicit { "proto3" } else { "proto2" };
    file.set_field_by_name("syntax", Value::String(target.to_owned()));
    Ok(file.encode_to_vec().into())
}

/// The fields of `FileDescriptorProto` that are needed to detect an edition.
#[derive(Clone, PartialEq, Message)]
struct FileHeader {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "12")]
    syntax: String,
}

/// The features of `google.protobuf.FeatureSet` that change the wire format or the Rust types.
///
/// 0 means that the value of the enclosing element applies.
#[derive(Clone, Copy, PartialEq, Message)]
struct Features {
    #[prost(int32, tag = "1")]
    field_presence: i32,
    #[prost(int32, tag = "3")]
    repeated_field_encoding: i32,
    #[prost(int32, tag = "5")]
    message_encoding: i32,
}

/// The field `features` of `FileOptions`, `MessageOptions` and `FieldOptions`.
///
/// One message can decode all three, since none of the numbers has another meaning in the other two.
#[derive(Clone, PartialEq, Message)]
struct FeatureOptions {
    #[prost(message, optional, tag = "50")]
    of_file: Option<Features>,
    #[prost(message, optional, tag = "12")]
    of_message: Option<Features>,
    #[prost(message, optional, tag = "21")]
    of_field: Option<Features>,
}

impl Features {
    /// Returns these features with those that `element` overrides in its options.
    fn overridden_by(self, element: &DynamicMessage) -> Self {
        let own = element
            .get_field_by_name("options")
            .and_then(|options| Some(options.as_message()?.encode_to_vec()))
            .and_then(|options| FeatureOptions::decode(options.as_slice()).ok())
            .and_then(|options| options.of_file.or(options.of_message).or(options.of_field))
            .unwrap_or_default();
        let or = |own: i32, inherited: i32| if own == 0 { inherited } else { own };
        Self {
            field_presence: or(own.field_presence, self.field_presence),
            repeated_field_encoding: or(own.repeated_field_encoding, self.repeated_field_encoding),
            message_encoding: or(own.message_encoding, self.message_encoding),
        }
    }
}

/// Conversion of one file.
struct Conversion {
    is_proto3: bool,
    /// The names of the fields that the target syntax cannot express.
    inexpressible: Vec<String>,
}

impl Conversion {
    fn message(&mut self, message: &mut DynamicMessage, inherited: &Features) {
        let features = inherited.overridden_by(message);
        let maps: HashSet<String> = parts(message, "nested_type")
            .filter(|nested| is_map_entry(nested))
            .map(|nested| text(nested, "name"))
            .collect();
        for list in ["field", "extension"] {
            for field in parts_mut(message, list) {
                self.field(field, &features, &maps);
            }
        }
        for nested in parts_mut(message, "nested_type") {
            self.message(nested, &features);
        }
    }

    fn field(&mut self, field: &mut DynamicMessage, inherited: &Features, maps: &HashSet<String>) {
        let features = inherited.overridden_by(field);
        let (label, kind) = (number(field, "label"), number(field, "type"));
        let type_name = text(field, "type_name");
        let is_map = type_name
            .rsplit_once('.')
            .is_some_and(|(_, name)| maps.contains(name));
        let is_required = features.field_presence == LEGACY_REQUIRED && label == LABEL_OPTIONAL;
        let is_group = features.message_encoding == DELIMITED && kind == TYPE_MESSAGE && !is_map;
        if is_required {
            field.set_field_by_name("label", Value::EnumNumber(LABEL_REQUIRED));
        }
        if is_group {
            field.set_field_by_name("type", Value::EnumNumber(TYPE_GROUP));
        }
        if self.is_proto3 && (is_required || is_group) {
            self.inexpressible.push(text(field, "name"));
        }
        if label == LABEL_REPEATED && is_packable(kind) {
            let packed = features.repeated_field_encoding != EXPANDED;
            set_option(field, "packed", Value::Bool(packed));
        }
        let is_plain = label == LABEL_OPTIONAL && !field.has_field_by_name("oneof_index");
        if self.is_proto3 && is_plain && is_scalar(kind) && features.field_presence != IMPLICIT {
            field.set_field_by_name("proto3_optional", Value::Bool(true));
        }
    }
}

fn has_implicit_fields(message: &DynamicMessage, inherited: &Features) -> bool {
    let features = inherited.overridden_by(message);
    let is_implicit = |field: &DynamicMessage| {
        number(field, "label") == LABEL_OPTIONAL
            && is_scalar(number(field, "type"))
            && !field.has_field_by_name("oneof_index")
            && features.overridden_by(field).field_presence == IMPLICIT
    };
    (!is_map_entry(message) && parts(message, "field").any(is_implicit))
        || parts(message, "nested_type").any(|nested| has_implicit_fields(nested, &features))
}

fn is_map_entry(message: &DynamicMessage) -> bool {
    let options = message.get_field_by_name("options");
    let options = options.as_ref().and_then(|options| options.as_message());
    let entry = options.and_then(|options| options.get_field_by_name("map_entry")?.as_bool());
    entry.unwrap_or_default()
}

fn is_scalar(kind: i32) -> bool {
    kind != TYPE_MESSAGE && kind != TYPE_GROUP
}

fn is_packable(kind: i32) -> bool {
    is_scalar(kind) && kind != TYPE_STRING && kind != TYPE_BYTES
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
