//! Unit tests of `cut_detector.rs`.

use super::*;

#[test]
fn losses_count_from_the_third_in_a_row() {
    let mut detector = CutDetector::default();
    let start = Instant::now();
    let counts = [0, 60, 120, 180, 241, 242, 243, 244];
    let counts = counts.map(|seconds| detector.count(start + Duration::from_secs(seconds)));
    assert_eq!(counts, [0, 0, 3, 1, 0, 0, 3, 1]);
}
