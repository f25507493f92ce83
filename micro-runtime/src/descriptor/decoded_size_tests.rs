//! Tests of `decoded_size`: against a message as prost generates it.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    OneofDescriptorProto,
};

use super::*;
use crate::growth::check_linear;

/// A message with fields of every kind, as prost generates it from the descriptors below.
#[expect(clippy::use_self, reason = "as it is generated")]
#[derive(Clone, PartialEq, prost::Message)]
struct SizedNode {
    #[prost(message, repeated, tag = "1")]
    children: Vec<SizedNode>,
    #[prost(string, repeated, tag = "2")]
    names: Vec<String>,
    #[prost(int64, repeated, tag = "3")]
    numbers: Vec<i64>,
    #[prost(map = "string, message", tag = "4")]
    by_name: HashMap<String, SizedNode>,
    #[prost(message, optional, boxed, tag = "5")]
    inner: Option<Box<SizedNode>>,
    #[prost(bool, tag = "6")]
    is_true: bool,
    #[prost(int32, optional, tag = "7")]
    maybe: Option<i32>,
    #[prost(oneof = "SizedChoice", tags = "8, 9")]
    choice: Option<SizedChoice>,
    #[prost(double, repeated, tag = "40")]
    doubles: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum SizedChoice {
    #[prost(string, tag = "8")]
    Text(String),
    #[prost(bool, tag = "9")]
    Flag(bool),
}

const NODE: &str = "sizes.v1.Node";

fn field(number: i32, kind: Type, label: Label) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(format!("field{number}")),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    }
}

fn message_field(number: i32, name: &str, label: Label) -> FieldDescriptorProto {
    FieldDescriptorProto {
        type_name: Some(format!(".{name}")),
        ..field(number, Type::Message, label)
    }
}

fn element_sizes() -> ElementSizes {
    let entry = DescriptorProto {
        name: Some("ByNameEntry".to_owned()),
        field: vec![
            field(1, Type::String, Label::Optional),
            message_field(2, NODE, Label::Optional),
        ],
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..DescriptorProto::default()
    };
    let in_choice = |number, kind| FieldDescriptorProto {
        oneof_index: Some(0),
        ..field(number, kind, Label::Optional)
    };
    let node = DescriptorProto {
        name: Some("Node".to_owned()),
        field: vec![
            message_field(1, NODE, Label::Repeated),
            field(2, Type::String, Label::Repeated),
            field(3, Type::Int64, Label::Repeated),
            message_field(4, "sizes.v1.Node.ByNameEntry", Label::Repeated),
            message_field(5, NODE, Label::Optional),
            field(6, Type::Bool, Label::Optional),
            FieldDescriptorProto {
                proto3_optional: Some(true),
                oneof_index: Some(1),
                ..field(7, Type::Int32, Label::Optional)
            },
            in_choice(8, Type::String),
            in_choice(9, Type::Bool),
            field(40, Type::Double, Label::Repeated),
        ],
        nested_type: vec![entry],
        oneof_decl: vec![OneofDescriptorProto::default(); 2],
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("sizes.v1".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![node],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] };
    ElementSizes::new(set.encode_to_vec().leak())
}

fn decoded_size(node: &SizedNode) -> usize {
    let size = element_sizes().decoded_size(NODE, &node.encode_to_vec());
    size.unwrap()
}

#[test]
fn the_struct_is_as_large_as_the_generated_one_or_a_little_larger() {
    let sizes = element_sizes();
    let table = sizes.table();
    let size = table.messages[table.find(NODE).unwrap()].size;
    let generated = size_of::<SizedNode>();
    assert!(
        (generated..2 * generated).contains(&size),
        "{size} of {generated}"
    );
}

/// Checks that the size is at least what the lists and the maps have room for, and at most a few times that.
#[track_caller]
fn check(node: &SizedNode, allocated: usize) {
    let size = decoded_size(node);
    let max = 8 * allocated + 64 * ALLOCATION_SIZE;
    assert!((allocated..=max).contains(&size), "{size} of {allocated}");
}

#[test]
fn elements_of_every_kind_count() {
    let empty = SizedNode::default;
    check(&empty(), 0);
    for count in [1, 2, 5, 1_000] {
        let room = usize::max(count, 4).next_power_of_two();
        let node = SizedNode {
            children: vec![empty(); count],
            ..empty()
        };
        check(&node, room * size_of::<SizedNode>());
        let node = SizedNode {
            names: vec!["a".to_owned(); count],
            ..empty()
        };
        check(&node, room * size_of::<String>() + count * 8);
        let node = SizedNode {
            numbers: vec![1; count],
            ..empty()
        };
        check(&node, room * size_of::<i64>());
        let node = SizedNode {
            doubles: vec![1.0; count],
            ..empty()
        };
        check(&node, room * size_of::<f64>());
        let entries = (0..count).map(|number| (number.to_string(), empty()));
        let node = SizedNode {
            by_name: entries.collect(),
            ..empty()
        };
        check(&node, count * size_of::<(String, SizedNode)>());
    }
    let mut deep = empty();
    for _ in 0..50 {
        deep = SizedNode {
            inner: Some(Box::new(deep)),
            ..empty()
        };
    }
    check(&deep, 50 * size_of::<SizedNode>());
}

#[test]
fn long_texts_take_no_more_than_they_have() {
    let node = SizedNode {
        names: vec!["x".repeat(1 << 20)],
        choice: Some(SizedChoice::Text("y".repeat(1 << 20))),
        ..SizedNode::default()
    };
    assert!(decoded_size(&node) < 1024);
}

#[test]
fn unknown_types_are_not_counted() {
    let sizes = element_sizes();
    assert_eq!(sizes.decoded_size("sizes.v1.Other", b"\x0a\x00"), Some(0));
    let without = ElementSizes::new(b"\xff");
    assert_eq!(without.decoded_size(NODE, b"\x0a\x00"), Some(0));
    let one = sizes.decoded_size(NODE, b"\x0a\x00");
    assert!(one.is_some_and(|one| one > 0));
    // A group with a field of its own, which is no message here, and an unknown field.
    let group = sizes.decoded_size(NODE, b"\x33\x0a\x00\x34\xf8\x07\x01\x0a\x00");
    assert_eq!(group, one);
}

/// Bytes that are not counted to their end are no message for prost either.
#[test]
fn malformed_messages_have_no_size() {
    let sizes = element_sizes();
    let overrun = [
        b"\x2a\x05\x2a\x80\x80\x01".to_vec(),
        b"\x0a\x00".repeat(8192),
    ]
    .concat();
    for rest in [
        &b"\xff"[..],
        b"\x0a\x05\x00",
        b"\x0f",
        b"\x0c",
        b"\x0b",
        &overrun,
    ] {
        let message = [b"\x0a\x00", rest].concat();
        assert_eq!(sizes.decoded_size(NODE, &message), None, "{rest:?}");
        assert!(SizedNode::decode(&*message).is_err(), "{rest:?}");
    }
}

/// Messages within each other as deep as prost decodes them, as groups of an unknown field and as a field.
#[test]
fn messages_are_counted_as_deep_as_they_are_decoded() {
    let sizes = element_sizes();
    let behind = b"\x0a\x00".repeat(1000);
    for depth in [99, 100, 101, 102] {
        let groups = [b"\x7b".repeat(depth), b"\x7c".repeat(depth), behind.clone()].concat();
        let mut inner = Vec::new();
        for _ in 0..depth {
            let mut outer = b"\x2a".to_vec();
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.append(&mut inner);
            inner = outer;
        }
        inner.extend_from_slice(&behind);
        for message in [groups, inner] {
            let size = sizes.decoded_size(NODE, &message);
            let is_decoded = SizedNode::decode(&*message).is_ok();
            assert_eq!(size.is_some(), is_decoded, "{depth}");
            assert!(
                size.is_none_or(|size| size > 1000 * size_of::<String>()),
                "{depth}"
            );
        }
    }
}

#[test]
fn a_long_message_takes_linear_time() {
    let sizes = element_sizes();
    sizes.table();
    let input = |length| b"\x0a\x00\x1a\x02\x01\x01".repeat(length);
    check_linear(1_000, input, |message| sizes.decoded_size(NODE, &message));
}
