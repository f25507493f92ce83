//! Restates a file with `edition` in the syntax that prost and prost-reflect know.
//!
//! A file whose fields all have presence, which is the default of the editions, means in proto2 the
//! same on the wire, in JSON and in Rust; any other means it in proto3, with `optional` where there is
//! presence.

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use crate::elements::{number, parts, parts_mut, set_option, text};
use crate::error::Error;

const EDITIONS: &str = "editions";

/// The numbers that `google/protobuf/descriptor.proto` gives to features, labels and types.
const IMPLICIT: i32 = 2;
const LEGACY_REQUIRED: i32 = 3;
const EXPANDED: i32 = 2;
const DELIMITED: i32 = 2;
const LABEL_OPTIONAL: i32 = 1;
const LABEL_REQUIRED: i32 = 2;
const LABEL_REPEATED: i32 = 3;
const TYPE_GROUP: i32 = 10;
const TYPE_MESSAGE: i32 = 11;
const TYPE_STRING: i32 = 9;
const TYPE_BYTES: i32 = 12;

/// Restates a serialized `FileDescriptorProto` in proto2 or proto3; one without an edition stays
/// as it is.
///
/// # Errors
///
/// Fails if `file` is no `FileDescriptorProto`, or mixes what no older syntax can say together.
pub fn without_edition(file: Bytes) -> Result<Bytes, Error> {
    let head = Head::decode(file.as_ref()).map_err(Error::NotADescriptor)?;
    if head.syntax != EDITIONS {
        return Ok(file);
    }
    let kind = DescriptorPool::global()
        .get_message_by_name("google.protobuf.FileDescriptorProto")
        .ok_or(Error::NoDescriptorProto)?;
    let mut file = match DynamicMessage::decode(kind, file) {
        Ok(file) => file,
        Err(source) => {
            let file = head.name;
            return Err(Error::Undecodable { file, source });
        }
    };
    let inherited = Features::default().overridden_by(&file);
    let implicit = parts(&file, "message_type").any(|part| has_implicit_fields(part, &inherited));
    let mut restated = Restated {
        is_proto3: implicit,
        inexpressible: Vec::new(),
    };
    for message in parts_mut(&mut file, "message_type") {
        restated.message(message, &inherited);
    }
    for extension in parts_mut(&mut file, "extension") {
        restated.field(extension, &inherited, &[]);
    }
    if !restated.inexpressible.is_empty() {
        return Err(Error::Inexpressible {
            file: head.name,
            fields: restated.inexpressible,
        });
    }
    let target = if implicit { "proto3" } else { "proto2" };
    file.set_field_by_name("syntax", Value::String(target.to_owned()));
    Ok(file.encode_to_vec().into())
}

/// What tells whether a file has an edition.
#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "12")]
    syntax: String,
}

/// `google.protobuf.FeatureSet`, as far as it changes the wire or the Rust types. 0 is inherited.
#[derive(Clone, Copy, PartialEq, Message)]
struct Features {
    #[prost(int32, tag = "1")]
    field_presence: i32,
    #[prost(int32, tag = "3")]
    repeated_field_encoding: i32,
    #[prost(int32, tag = "5")]
    message_encoding: i32,
}

/// Where options keep their features: in a file, a message, a field. No two numbers mean another
/// thing in one of the others.
#[derive(Clone, PartialEq, Message)]
struct WithFeatures {
    #[prost(message, optional, tag = "50")]
    of_file: Option<Features>,
    #[prost(message, optional, tag = "12")]
    of_message: Option<Features>,
    #[prost(message, optional, tag = "21")]
    of_field: Option<Features>,
}

impl Features {
    /// These, less what the options of `element` say otherwise.
    fn overridden_by(self, element: &DynamicMessage) -> Self {
        let own = element
            .get_field_by_name("options")
            .and_then(|options| Some(options.as_message()?.encode_to_vec()))
            .and_then(|options| WithFeatures::decode(options.as_slice()).ok())
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

/// The work on one file.
struct Restated {
    is_proto3: bool,
    /// The names of the fields that the syntax cannot express.
    inexpressible: Vec<String>,
}

impl Restated {
    fn message(&mut self, message: &mut DynamicMessage, inherited: &Features) {
        let features = inherited.overridden_by(message);
        let maps: Vec<String> = parts(message, "nested_type")
            .filter(|nested| is_map_entry(nested))
            .map(|nested| format!(".{}", text(nested, "name")))
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

    fn field(&mut self, field: &mut DynamicMessage, inherited: &Features, maps: &[String]) {
        let features = inherited.overridden_by(field);
        let (label, kind) = (number(field, "label"), number(field, "type"));
        let is_map = maps
            .iter()
            .any(|map| text(field, "type_name").ends_with(map));
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
#[path = "restate_tests.rs"]
mod tests;
