//! Schemas with editions, which prost-reflect cannot read without conversion.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use crate::growth::check_linear;
use crate::json::{Schema, read, write};

/// `edition = 1000`, the number of 2023.
const EDITION_2023: &[u8] = &[0x70, 0xe8, 0x07];
/// `option features.field_presence = IMPLICIT;`
const IMPLICIT: &[u8] = &[0x42, 0x05, 0x92, 0x03, 0x02, 0x08, 0x02];
/// `option features.message_encoding = DELIMITED;`
const DELIMITED: &[u8] = &[0x42, 0x05, 0x92, 0x03, 0x02, 0x28, 0x02];

fn field(name: &str, number: i32, label: Label, of: Option<&str>) -> FieldDescriptorProto {
    let kind = if of.is_some() {
        Type::Message
    } else {
        Type::Int32
    };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: of.map(str::to_owned),
        ..FieldDescriptorProto::default()
    }
}

/// Makes a set of one file with this syntax, and features added to its options.
fn set(syntax: &str, features: &[&[u8]]) -> Vec<u8> {
    let fields = vec![
        field("count", 1, Label::Optional, None),
        field("counts", 2, Label::Repeated, None),
        field("inner", 3, Label::Optional, Some(".e.v1.M")),
    ];
    let message = DescriptorProto {
        name: Some("M".to_owned()),
        field: fields,
        ..DescriptorProto::default()
    };
    let method = MethodDescriptorProto {
        name: Some("Do".to_owned()),
        input_type: Some(".e.v1.M".to_owned()),
        output_type: Some(".e.v1.M".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("e.proto".to_owned()),
        package: Some("e.v1".to_owned()),
        message_type: vec![message],
        service: vec![ServiceDescriptorProto {
            name: Some("E".to_owned()),
            method: vec![method],
            ..ServiceDescriptorProto::default()
        }],
        syntax: Some(syntax.to_owned()),
        ..FileDescriptorProto::default()
    };
    let mut file = file.encode_to_vec();
    features
        .iter()
        .for_each(|bytes| file.extend_from_slice(bytes));
    let mut set = vec![0x0a];
    prost::encoding::encode_varint(file.len() as u64, &mut set);
    set.extend(file);
    set
}

/// Checks the encoding of `json`, and the JSON of that encoding.
fn check(features: &[&[u8]], json: &str, wire: &[u8], again: &str) {
    let schema = Schema::read(set("editions", features).into(), "e.v1.E").unwrap();
    let kind = schema.method("Do").unwrap().input();
    let message = read(&kind, json.as_bytes()).unwrap();
    assert_eq!(message.encode_to_vec(), wire, "{json}");
    let back = DynamicMessage::decode(kind, wire).unwrap();
    assert_eq!(String::from_utf8(write(&back).unwrap()).unwrap(), again);
}

#[test]
fn a_field_with_presence_keeps_its_zero() {
    let json = r#"{"count":0,"counts":[1,2],"inner":{}}"#;
    let wire = [0x08, 0x00, 0x12, 0x02, 1, 2, 0x1a, 0x00];
    check(&[EDITION_2023], json, &wire, json);
}

#[test]
fn a_field_without_presence_loses_its_zero() {
    let json = r#"{"count":0,"counts":[1]}"#;
    let wire = [0x12, 0x01, 1];
    check(&[IMPLICIT, EDITION_2023], json, &wire, r#"{"counts":[1]}"#);
}

#[test]
fn a_delimited_message_is_encoded_as_a_group() {
    let json = r#"{"inner":{"count":3}}"#;
    let wire = [0x1b, 0x08, 3, 0x1c];
    check(&[DELIMITED, EDITION_2023], json, &wire, json);
}

#[test]
fn a_set_that_no_older_syntax_expresses_is_rejected_with_the_reason() {
    let both = [IMPLICIT, DELIMITED, EDITION_2023];
    let error = Schema::read(set("editions", &both).into(), "e.v1.E").unwrap_err();
    assert_eq!(
        error,
        "field `inner` of `e.proto` is `LEGACY_REQUIRED` or `DELIMITED` in a file with `IMPLICIT` \
         fields, which neither proto2 nor proto3 can say"
    );
    let error = Schema::read(vec![0x0a, 0x02, 0x0a, 0x7f].into(), "e.v1.E").unwrap_err();
    let start = "its descriptors are no `FileDescriptorSet`: ";
    assert!(error.starts_with(start), "{error}");
    let error = Schema::read(set("proto9", &[]).into(), "e.v1.E").unwrap_err();
    assert_eq!(error, "`e.proto` has the syntax `proto9`");
}

#[test]
fn a_schema_of_many_files_is_read_in_linear_time() {
    let service = |name: String, dependency: Vec<String>| FileDescriptorProto {
        name: Some(name),
        dependency,
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    let files = |size: usize| {
        let mut files = (0..size)
            .map(|number| service(number.to_string(), Vec::new()))
            .collect::<Vec<_>>();
        let all = (0..size).map(|number| number.to_string());
        files.push(service("last".to_owned(), all.collect()));
        let set = prost_types::FileDescriptorSet { file: files };
        Bytes::from(set.encode_to_vec())
    };
    check_linear(1_000, files, |set| Schema::read(set, "e.v1.S").unwrap_err());
}
