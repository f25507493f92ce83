//! Results of converting files with an edition.

use std::error::Error as _;
use std::time::Instant;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions};

use crate::convert::without_edition;
use crate::error::Error;

/// Encoded `edition = EDITION_2023`, whose number is 1000.
const EDITION_2023: &[u8] = &[0x70, 0xe8, 0x07];
/// `option features.field_presence = IMPLICIT;`
const IMPLICIT: &[u8] = &[0x42, 0x05, 0x92, 0x03, 0x02, 0x08, 0x02];
/// `option features.field_presence = LEGACY_REQUIRED;`
const REQUIRED: &[u8] = &[0x42, 0x05, 0x92, 0x03, 0x02, 0x08, 0x03];
/// `option features.repeated_field_encoding = EXPANDED;`
const EXPANDED: &[u8] = &[0x42, 0x05, 0x92, 0x03, 0x02, 0x18, 0x02];
/// `option features.message_encoding = DELIMITED;`
const DELIMITED: &[u8] = &[0x42, 0x05, 0x92, 0x03, 0x02, 0x28, 0x02];

fn field(name: &str, number: i32, label: Label, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: (kind == Type::Message).then(|| ".e.v1.M".to_owned()),
        ..FieldDescriptorProto::default()
    }
}

/// Returns a file of one message with this syntax, and with features in the file's options.
fn file(syntax: &str, features: &[&[u8]]) -> Vec<u8> {
    let message = DescriptorProto {
        name: Some("M".to_owned()),
        field: vec![
            field("count", 1, Label::Optional, Type::Int32),
            field("counts", 2, Label::Repeated, Type::Int32),
            field("inner", 3, Label::Optional, Type::Message),
        ],
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("e.proto".to_owned()),
        package: Some("e.v1".to_owned()),
        message_type: vec![message],
        syntax: Some(syntax.to_owned()),
        ..FileDescriptorProto::default()
    };
    let mut file = file.encode_to_vec();
    file.extend(features.concat());
    file
}

/// Asserts the syntax of a converted file and, for each field, its `optional`, label, type and packing.
fn check(features: &[&[u8]], syntax: &str, fields: [&str; 3]) {
    let mut options = features.to_vec();
    options.push(EDITION_2023);
    let converted = without_edition(file("editions", &options).into()).unwrap();
    let converted = FileDescriptorProto::decode(converted).unwrap();
    assert_eq!(converted.syntax(), syntax, "{features:x?}");
    let found = converted.message_type[0].field.iter().map(|field| {
        let optional = if field.proto3_optional() {
            "proto3 "
        } else {
            ""
        };
        let packed = field.options.as_ref().and_then(|options| options.packed);
        let packed = packed.map_or("", |is| if is { " packed" } else { " expanded" });
        format!("{optional}{:?} {:?}{packed}", field.label(), field.r#type())
    });
    assert_eq!(found.collect::<Vec<_>>(), fields, "{features:x?}");
}

#[test]
fn fields_with_presence_become_proto2() {
    let fields = [
        "Optional Int32",
        "Repeated Int32 packed",
        "Optional Message",
    ];
    check(&[], "proto2", fields);
}

#[test]
fn fields_without_presence_become_proto3() {
    let fields = [
        "Optional Int32",
        "Repeated Int32 packed",
        "Optional Message",
    ];
    check(&[IMPLICIT], "proto3", fields);
}

#[test]
fn an_expanded_list_stays_expanded() {
    let fields = [
        "Optional Int32",
        "Repeated Int32 expanded",
        "Optional Message",
    ];
    check(&[EXPANDED], "proto2", fields);
}

#[test]
fn legacy_required_fields_become_required() {
    let fields = [
        "Required Int32",
        "Repeated Int32 packed",
        "Required Message",
    ];
    check(&[REQUIRED], "proto2", fields);
}

#[test]
fn a_delimited_message_becomes_a_group() {
    let fields = ["Optional Int32", "Repeated Int32 packed", "Optional Group"];
    check(&[DELIMITED], "proto2", fields);
}

#[test]
fn one_implicit_field_does_not_change_the_presence_of_others() {
    let mut mixed = FileDescriptorProto::decode(file("editions", &[]).as_slice()).unwrap();
    let first = &mut mixed.message_type[0].field[0];
    first.name = Some("absent".to_owned());
    let first = first.encode_to_vec();
    mixed.message_type[0].field[0] = field("present", 1, Label::Optional, Type::Int32);
    // `absent` is appended as bytes, since prost-types has no features and would drop them.
    let mut message = mixed.message_type[0].encode_to_vec();
    let implicit = [&first[..], &IMPLICIT_FIELD].concat();
    message.extend(delimited(2, &implicit));
    mixed.message_type.clear();
    let mut mixed = mixed.encode_to_vec();
    mixed.extend(delimited(4, &message));
    let converted = FileDescriptorProto::decode(without_edition(mixed.into()).unwrap()).unwrap();
    let has_optional = |name: &str| {
        let mut fields = converted.message_type[0].field.iter();
        fields
            .find(|field| field.name() == name)
            .unwrap()
            .proto3_optional()
    };
    assert_eq!(converted.syntax(), "proto3");
    assert!(has_optional("present") && !has_optional("absent"));
}

/// Encoded options of a field with `[features.field_presence = IMPLICIT]`.
const IMPLICIT_FIELD: [u8; 7] = [0x42, 0x05, 0xaa, 0x01, 0x02, 0x08, 0x02];

/// Encodes a length-delimited field.
fn delimited(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

#[test]
fn a_file_without_an_edition_is_unchanged() {
    for syntax in ["", "proto2", "proto3", "proto9"] {
        let file = file(syntax, &[IMPLICIT]);
        assert_eq!(without_edition(file.clone().into()).unwrap(), file);
    }
}

#[test]
fn inexpressible_fields_are_listed() {
    let both = [IMPLICIT, DELIMITED, EDITION_2023];
    let mut file = file("editions", &both);
    let another = DescriptorProto {
        name: Some("N".to_owned()),
        field: vec![field("outer", 1, Label::Optional, Type::Message)],
        ..DescriptorProto::default()
    };
    file.extend(delimited(4, &another.encode_to_vec()));
    let error = without_edition(file.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field `inner` of `e.proto` is `LEGACY_REQUIRED` or `DELIMITED` in a file with `IMPLICIT` \
         fields, which neither proto2 nor proto3 can say"
    );
    assert!(error.source().is_none());
    let Error::Inexpressible { file, fields } = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (file.as_str(), fields.concat()),
        ("e.proto", "innerouter".to_owned())
    );
}

#[test]
fn bytes_that_are_no_descriptor_are_rejected() {
    let error = without_edition(vec![0x0a, 0x7f].into()).unwrap_err();
    assert!(matches!(error, Error::NotADescriptor(_)), "{error:?}");
    assert!(error.source().is_some());
}

#[test]
fn a_truncated_file_is_rejected_with_its_name() {
    // A message with a truncated name.
    let cut = delimited(4, &[0x0a, 0x7f]);
    let error = without_edition(file("editions", &[&cut]).into()).unwrap_err();
    assert!(error.to_string().starts_with("`e.proto`: "), "{error}");
    assert!(matches!(error, Error::Undecodable { .. }), "{error:?}");
}

#[test]
fn a_message_of_many_maps_is_converted_in_linear_time() {
    let file = |maps: i32| {
        let entry = |number: i32| DescriptorProto {
            name: Some(format!("F{number}Entry")),
            options: Some(MessageOptions {
                map_entry: Some(true),
                ..MessageOptions::default()
            }),
            ..DescriptorProto::default()
        };
        let map = |number: i32| FieldDescriptorProto {
            type_name: Some(format!(".e.v1.M.F{number}Entry")),
            ..field("map", number, Label::Repeated, Type::Message)
        };
        let message = DescriptorProto {
            name: Some("M".to_owned()),
            field: (1..=maps).map(map).collect(),
            nested_type: (1..=maps).map(entry).collect(),
            ..DescriptorProto::default()
        };
        let file = FileDescriptorProto {
            syntax: Some("editions".to_owned()),
            message_type: vec![message],
            ..FileDescriptorProto::default()
        };
        [&*file.encode_to_vec(), EDITION_2023].concat()
    };
    let time = |maps: i32| {
        let file = file(maps);
        let begun = Instant::now();
        without_edition(file.into()).unwrap();
        begun.elapsed()
    };
    // Quadratic work takes sixteen times as long for four times the maps; a busy machine delays some measurements.
    let is_linear = |_| time(2_000) < time(500) * 9;
    assert!((0..12).any(is_linear));
}
