//! Unit tests of `scenario.rs`.

use super::*;

/// Builds of different revisions talk to each other in these words.
#[test]
fn the_words_between_driver_and_client_stay() {
    let check = |work: Work, words: &str| {
        assert_eq!(work.to_string(), words);
        let read: Work = words.parse().expect(words);
        assert_eq!(read.to_string(), words);
    };
    let bytes = 16;
    let stream = |direction| Work::Stream { bytes, direction };
    check(
        Work::Unary {
            bytes,
            in_flight: 64,
        },
        "unary 16 64",
    );
    check(
        Work::Nested {
            bytes,
            in_flight: 64,
        },
        "nested 16 64",
    );
    check(Work::Publish { bytes }, "publish 16 -");
    check(Work::Store { bytes }, "store 16 -");
    check(Work::Consume { bytes }, "consume 16 -");
    check(stream(Direction::Server), "stream 16 server");
    check(stream(Direction::Client), "stream 16 client");
    check(stream(Direction::Both), "stream 16 both");
    check(stream(Direction::PingPong), "stream 16 ping-pong");
}

#[test]
fn unknown_work_is_an_error_that_quotes_it() {
    for words in ["unary 16", "dance 16 -", "stream 16 up"] {
        let error = words.parse::<Work>().unwrap_err().to_string();
        assert_eq!(error, format!("`{words}` is no work"));
    }
}

#[test]
fn a_ratio_above_one_means_that_ours_is_better() {
    let check = |better, unit, [ours, theirs]: [f64; 2], expected: f64| {
        let metric = Metric {
            name: "any",
            unit,
            better,
        };
        assert_eq!(metric.ratio(ours, theirs), expected);
    };
    check(Better::Higher, "/s", [200.0, 100.0], 2.0);
    check(Better::Lower, "us", [100.0, 200.0], 2.0);
    check(Better::Lower, "B", [0.0, 3.0], 3.0);
}
