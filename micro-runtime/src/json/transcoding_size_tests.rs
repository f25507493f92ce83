//! Tests of `transcoding_size`: what counts, and where a walk ends.

use super::*;
use crate::growth::check_linear;
use crate::json::details;

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
    for json in [
        "",
        "{",
        r#"{"paths""#,
        r#"{"paths":[{"a":1}]}"#,
        r#"{"other":[1,2]}"#,
    ] {
        assert!(size(mask, json) < 3 * LIST_ELEMENT_SIZE, "{json}");
    }
}

#[test]
fn a_long_text_takes_linear_time() {
    let input = |length| format!("[{}", "{\"a\":[1]},".repeat(length));
    check_linear(500, input, |json| size("google.protobuf.Value", &json));
}
