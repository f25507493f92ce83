//! Tests of the bytes and the limits of pull requests.

use super::*;
use crate::bus::Bus;

fn limits<const N: usize>(bus: &Bus) -> [PullLimits; N] {
    std::array::from_fn(|_| PullLimits::new(bus.consuming()))
}

#[tokio::test]
async fn the_consumers_of_a_connection_share_its_bytes() {
    const MIB: usize = 1024 * 1024;
    let bus = Bus::in_process();
    let check = |limits: &[PullLimits], expected: usize| {
        for limits in limits {
            assert_eq!(limits.bytes(), expected);
        }
    };
    check(&limits::<1>(&bus), 8 * MIB);
    check(&limits::<4>(&bus), 8 * MIB);
    check(&limits::<8>(&bus), 4 * MIB);
    // Each can be sent the longest event.
    check(&limits::<100>(&bus), MIB + MAX_SUBJECTS_LEN);
    check(&limits::<1>(&bus), 8 * MIB);
}

#[tokio::test]
async fn requests_keep_to_the_limits_of_the_consumer() {
    let bus = Bus::in_process();
    let [mut limits] = limits(&bus);
    assert!(limits.apply(PullLimit::Batch(10)));
    assert_eq!(limits.max_batch(), 10);
    assert!(limits.apply(PullLimit::Bytes(1000)));
    assert!(limits.apply(PullLimit::Expiry(Duration::from_secs(2))));
    let request =
        r#"{"batch":10,"max_bytes":1000,"expires":2000000000,"idle_heartbeat":1000000000}"#;
    assert_eq!(limits.request(10), request);
    // A limit that was kept to and is exceeded all the same is none that can be kept to.
    assert!(!limits.apply(PullLimit::Batch(10)));
    assert!(!limits.apply(PullLimit::Waiting));
    assert!(!limits.enlarge(), "beyond the limit of the consumer");
}

#[tokio::test]
async fn requests_grow_until_an_event_fits() {
    let bus = Bus::in_process();
    let [mut limits] = limits(&bus);
    let first = limits.bytes();
    for number in 1..=MAX_ENLARGEMENTS {
        assert!(limits.enlarge());
        assert_eq!(limits.bytes(), first << number);
    }
    assert!(!limits.enlarge());
}
