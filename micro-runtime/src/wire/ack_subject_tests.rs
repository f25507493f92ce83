//! Unit tests of `ack_subject.rs`.

use super::*;

#[test]
fn the_subject_of_an_event_that_was_not_read_is_parsed_as_that_of_a_delivery() {
    let subject = ack("MARKET", "books", 7, 9);
    assert_eq!(&*subject, "$JS.ACK.MARKET.books.1.7.0.9.0");
    assert!(is_ack_of(&subject, "MARKET", "books"));
    let numbers = AckNumbers {
        deliveries: 1,
        sequence: 7,
        consumer_sequence: 0,
        stored_ns: 9,
        pending: 0,
    };
    assert_eq!(parse_ack(&subject), Some(numbers));
}
