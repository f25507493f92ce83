//! Tests of statuses, heartbeats and durations, as nats-server writes them.

use super::*;

#[test]
fn every_status_has_its_meaning() {
    let check = |code: u16, text: &str, expected: PullStatus| {
        assert_eq!(
            PullStatus::read(code, text, None),
            expected,
            "{code} {text}"
        );
    };
    let exceeded = PullStatus::Exceeded;
    check(100, "Idle Heartbeat", PullStatus::Heartbeat(None));
    check(404, "No Messages", PullStatus::Ended);
    check(408, "Request Timeout", PullStatus::Ended);
    check(409, "Batch Completed", PullStatus::Ended);
    check(409, "Message Size Exceeds MaxBytes", PullStatus::OutOfBytes);
    check(409, "Leadership Change", PullStatus::Interrupted);
    check(409, "Server Shutdown", PullStatus::Interrupted);
    check(409, "Consumer Deleted", PullStatus::Lost);
    check(409, "Consumer is push based", PullStatus::Lost);
    check(503, "", PullStatus::Lost);
    check(400, "Bad Request - invalid batch", PullStatus::Rejected);
    check(423, "Nats-Wrong-Pin-Id", PullStatus::Rejected);
    check(409, "Exceeded MaxWaiting", exceeded(PullLimit::Waiting));
    let batch = "Exceeded MaxRequestBatch of 10";
    check(409, batch, exceeded(PullLimit::Batch(10)));
    let none = "Exceeded MaxRequestBatch of 0";
    check(409, none, exceeded(PullLimit::Waiting));
    let bytes = "Exceeded MaxRequestMaxBytes of 1024";
    check(409, bytes, exceeded(PullLimit::Bytes(1024)));
    let expiry = "Exceeded MaxRequestExpires of 1m30s";
    let limit = PullLimit::Expiry(Duration::from_secs(90));
    check(409, expiry, exceeded(limit));
    let unknown = "Exceeded MaxRequestStars of 7";
    check(409, unknown, exceeded(PullLimit::Waiting));
}

#[test]
fn a_heartbeat_has_the_position_of_the_consumer() {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Last-Consumer", "7");
    let read = |headers: &HeaderMap| PullStatus::read(100, "Idle Heartbeat", Some(headers));
    assert_eq!(read(&headers), PullStatus::Heartbeat(None));
    headers.insert("nats-last-stream", "12");
    let position = HeartbeatPosition {
        deliveries: 7,
        sequence: 12,
    };
    assert_eq!(read(&headers), PullStatus::Heartbeat(Some(position)));
}

#[test]
fn durations_are_read_as_go_writes_them() {
    let check = |text: &str, expected: Option<u64>| {
        let read = parse_go_duration(text);
        assert_eq!(read, expected.map(Duration::from_millis), "{text}");
    };
    check("30s", Some(30_000));
    check("1h2m3s", Some(3_723_000));
    check("1.5s", Some(1_500));
    check("500ms", Some(500));
    check("2000µs", Some(2));
    check("0s", None);
    check("", None);
    check("s", None);
    check("5", None);
    check("5 s", None);
    check("-5s", None);
    check("1e9s", None);
}
