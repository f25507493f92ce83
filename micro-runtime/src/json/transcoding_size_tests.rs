//! Tests of `transcoding_size`: what counts, and where a walk ends.

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::descriptor_proto::ExtensionRange;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::*;
use crate::growth::check_linear;
use crate::json::details;
use crate::json::text::read;

fn size(name: &str, json: &str) -> usize {
    let message_type = details::pool().get_message_by_name(name).unwrap();
    // As a message of a user would be walked over.
    let mut walk = JsonWalk {
        rest: json.as_bytes(),
        total: 0,
    };
    let _ = match name {
        "google.protobuf.Value" => walk.message(&message_type, MAX_DEPTH),
        _ => walk.members(MAX_DEPTH, |walk, key, depth| {
            walk.field(&find(&message_type, key)?, depth)
        }),
    };
    walk.total
}

#[test]
fn elements_of_lists_and_messages_count() {
    let one = size("google.protobuf.FieldMask", r#"{"paths": ["a"]}"#);
    let ten = format!(r#"{{"p\u0061ths": [{}]}}"#, ["\"a\""; 10].join(","));
    let ten = size("google.protobuf.FieldMask", &ten);
    assert_eq!(ten - one, 9 * (LIST_ELEMENT_SIZE + ALLOCATION_SIZE));
    let value = size("google.protobuf.Value", "[1,[2,{\"a\":3}]]");
    assert!(value > 8 * FIRST_NODE_SIZE, "{value}");
}

#[test]
fn a_walk_ends_at_the_first_mistake() {
    let mask = "google.protobuf.FieldMask";
    for json in ["", "{", r#"{"paths""#, r#"{"paths":[{"a":1}]}"#] {
        assert!(size(mask, json) < 3 * LIST_ELEMENT_SIZE, "{json}");
    }
}

/// Returns a message type of proto2 with a list `names`, and with extensions of every kind.
fn extended() -> MessageDescriptor {
    let field = |name: &str, number, kind: Type, label: Label| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    };
    let of_message = |field: FieldDescriptorProto| FieldDescriptorProto {
        type_name: Some(".sizes.v1.Extended".to_owned()),
        ..field
    };
    let extension = |field: FieldDescriptorProto| FieldDescriptorProto {
        extendee: Some(".sizes.v1.Extended".to_owned()),
        ..field
    };
    let message = DescriptorProto {
        name: Some("Extended".to_owned()),
        field: vec![field("names", 1, Type::String, Label::Repeated)],
        extension_range: vec![ExtensionRange {
            start: Some(100),
            end: Some(200),
            ..ExtensionRange::default()
        }],
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("sizes.proto".to_owned()),
        package: Some("sizes.v1".to_owned()),
        message_type: vec![message],
        extension: vec![
            extension(field("number", 100, Type::Int32, Label::Optional)),
            extension(field("texts", 101, Type::String, Label::Repeated)),
            extension(of_message(field(
                "inner",
                102,
                Type::Message,
                Label::Optional,
            ))),
            extension(of_message(field(
                "children",
                103,
                Type::Message,
                Label::Repeated,
            ))),
        ],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let pool = DescriptorPool::decode(&*set).unwrap();
    pool.get_message_by_name("sizes.v1.Extended").unwrap()
}

/// Counts all of a list that follows a member which the reader takes.
#[test]
fn what_follows_an_extension_counts() {
    let extended = extended();
    for before in [
        r#""[sizes.v1.number]":1"#,
        r#""[sizes.v1.\u0074exts]":["a","b"]"#,
        r#""[sizes.v1.inner]":{"names":["a"],"[sizes.v1.number]":2}"#,
        r#""[sizes.v1.children]":[{},{"[sizes.v1.children]":[{}]}]"#,
        r#""[sizes.v1.children]":null"#,
    ] {
        let json = |names: usize| {
            let names = vec!["\"a\""; names].join(",");
            format!("{{{before},\"names\":[{names}]}}")
        };
        let size = |names| transcoding_size(&extended, json(names).as_bytes());
        let counted = size(1_000) - size(0);
        assert_eq!(
            counted,
            1_000 * (LIST_ELEMENT_SIZE + ALLOCATION_SIZE),
            "{before}"
        );
        assert!(read(&extended, json(1_000).as_bytes()).is_ok(), "{before}");
    }
}

#[test]
fn extensions_count_as_fields_do() {
    let extended = extended();
    let size = |json: &str| transcoding_size(&extended, json.as_bytes());
    let elements = ["{}"; 100].join(",");
    let field = size(&format!("{{\"names\":[{}]}}", ["\"a\""; 100].join(",")));
    let texts = size(&format!(
        "{{\"[sizes.v1.texts]\":[{}]}}",
        ["\"a\""; 100].join(",")
    ));
    assert_eq!(field, texts);
    let children = size(&format!("{{\"[sizes.v1.children]\":[{elements}]}}"));
    assert!(children > 100 * LIST_ELEMENT_SIZE, "{children}");
}

/// The reader refuses a key that it does not know. If it took one, its value would be counted.
#[test]
fn values_of_unknown_keys_count() {
    let extended = extended();
    let size = |json: &str| transcoding_size(&extended, json.as_bytes());
    let unknown = size(r#"{"other":[1,{"a":[2]}],"names":["a"]}"#);
    let known = size(r#"{"names":["a"]}"#);
    assert!(unknown > known + 4 * FIRST_NODE_SIZE, "{unknown}, {known}");
}

#[test]
fn a_long_text_takes_linear_time() {
    let input = |length| format!("[{}", "{\"a\":[1]},".repeat(length));
    check_linear(500, input, |json| size("google.protobuf.Value", &json));
}
