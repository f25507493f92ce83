//! Tests of `RequestSizes`: which types may grow, and how long their messages may be without being counted.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    OneofDescriptorProto,
};

use super::*;

/// Returns the sizes of requests of the type `Request`, which has one field. A field may be of these types besides:
/// `Flat` of a number, `Listed` of a list, `Circle` of itself, and `Entry` of a map.
fn sizes(kind: Type, type_name: &str, label: Label) -> RequestSizes {
    let field = |number, kind: Type, type_name: &str, label: Label| FieldDescriptorProto {
        name: Some(format!("field{number}")),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: (!type_name.is_empty()).then(|| format!(".{type_name}")),
        ..FieldDescriptorProto::default()
    };
    let message = |name: &str, field: Vec<FieldDescriptorProto>| DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    };
    let in_oneof = |field| FieldDescriptorProto {
        oneof_index: Some(0),
        ..field
    };
    let number = field(1, Type::Int64, "", Label::Optional);
    let flat = DescriptorProto {
        oneof_decl: vec![OneofDescriptorProto::default()],
        ..message(
            "Flat",
            vec![
                number.clone(),
                in_oneof(field(2, Type::String, "", Label::Optional)),
                in_oneof(field(3, Type::Bool, "", Label::Optional)),
            ],
        )
    };
    let listed = field(1, Type::Bool, "", Label::Repeated);
    let circle = field(1, Type::Message, "Circle", Label::Optional);
    let entry = DescriptorProto {
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..message(
            "Entry",
            vec![number.clone(), field(2, Type::Int64, "", Label::Optional)],
        )
    };
    let file = FileDescriptorProto {
        syntax: Some("proto3".to_owned()),
        message_type: vec![
            message("Request", vec![number, field(2, kind, type_name, label)]),
            flat,
            message("Listed", vec![listed]),
            message("Circle", vec![circle]),
            entry,
        ],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] };
    let elements = ElementSizes::new(set.encode_to_vec().leak());
    RequestSizes::new(Arc::new(elements), "Request")
}

#[test]
fn types_without_lists_maps_and_circles_cannot_grow() {
    for (kind, type_name) in [
        (Type::Int64, ""),
        (Type::Bool, ""),
        (Type::String, ""),
        (Type::Bytes, ""),
        (Type::Message, "Flat"),
        (Type::Message, "not.in.the.Descriptors"),
    ] {
        let sizes = sizes(kind, type_name, Label::Optional);
        assert_eq!(sizes.uncounted_len(), UNCOUNTED_LEN, "{kind:?} {type_name}");
        let request = [&b"\x08"[..]; UNCOUNTED_LEN / 2].concat();
        assert!(!sizes.counts(&request, false) && !sizes.counts(&request, true));
        assert!(sizes.counts(&[0; UNCOUNTED_LEN + 1], false));
    }
    let unknown = RequestSizes::new(Arc::new(ElementSizes::new(b"\xff")), "Request");
    assert_eq!(unknown.uncounted_len(), UNCOUNTED_LEN);
}

#[test]
fn types_with_lists_maps_and_circles_grow() {
    for (kind, type_name, label) in [
        (Type::Int64, "", Label::Repeated),
        (Type::Double, "", Label::Repeated),
        (Type::Bool, "", Label::Repeated),
        (Type::String, "", Label::Repeated),
        (Type::Message, "Flat", Label::Repeated),
        (Type::Message, "Entry", Label::Repeated),
        (Type::Message, "Listed", Label::Optional),
        (Type::Message, "Circle", Label::Optional),
        (Type::Group, "Listed", Label::Optional),
    ] {
        let length = sizes(kind, type_name, label).uncounted_len();
        assert!((1..=64).contains(&length), "{length}: {kind:?} {type_name}");
    }
}

/// The shortest elements, each of which is the first of its list for the walk, so that none counts for more.
#[test]
fn a_message_that_is_not_counted_takes_little_whatever_it_is() {
    for (kind, type_name, element) in [
        (Type::Message, "Flat", &b"\x12\x00"[..]),
        (Type::Message, "Entry", b"\x12\x00"),
        (Type::Message, "Listed", b"\x12\x02\x08\x01"),
        (
            Type::Message,
            "Listed",
            b"\x12\x08\x08\x01\x08\x01\x08\x01\x08\x01",
        ),
        (Type::Message, "Circle", b"\x12\x02\x0a\x00"),
        (Type::String, "", b"\x12\x00"),
        (Type::String, "", b"\x12\x01a"),
        (Type::Int64, "", b"\x10\x01"),
        (Type::Int64, "", b"\x12\x08\x01\x01\x01\x01\x01\x01\x01\x01"),
        (Type::Fixed32, "", b"\x15\x01\x01\x01\x01"),
    ] {
        let sizes = sizes(kind, type_name, Label::Repeated);
        let count = sizes.uncounted_len() / element.len();
        let request = element.repeat(count);
        let size = sizes.decoded_size(&request).unwrap();
        assert!(size <= UNCOUNTED_LEN, "{size}: {kind:?} {type_name}");
        assert!(!sizes.counts(&request, false));
        let request = element.repeat(UNCOUNTED_LEN / element.len());
        assert!(sizes.counts(&request, false) && sizes.counts(&request, true));
    }
}

#[test]
fn requests_are_counted_by_what_they_hold() {
    let sizes = sizes(Type::String, "", Label::Repeated);
    // A single long text, whose type may grow.
    let text = [&b"\x12\x80\x04"[..], &[b'a'; 512]].concat();
    assert!(!sizes.counts(&text, false));
    assert!(sizes.counts(&text, true), "it may hold more in JSON");
    // A length that exceeds the message.
    assert!(sizes.counts(&text[..500], false));
}
