//! The header `Micro-Expires`: the time of the clock after which a call must not begin (docs/PROTOCOL.md, "Time").
//!
//! Beside `Micro-Timeout`, which counts from the receipt at the server: a request that was held up on its way, as by a
//! nats-server that was frozen, begins its timeout afresh when it arrives. A time of the clock ends that, for callers
//! and servers whose clocks agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::{HeaderMap, HeaderValue};

use crate::status::{Reason, Status};
use crate::wire::header::{MICRO_EXPIRES, find, parse_number};
use crate::wire::percent::percent_encode;

/// Sets the header to the time that is `left` from now on, in milliseconds since 1970.
pub(crate) fn encode_expires(headers: &mut Option<HeaderMap>, left: Duration) {
    let at = SystemTime::now()
        .checked_add(left)
        .map_or(u64::MAX, milliseconds);
    headers
        .get_or_insert_with(HeaderMap::new)
        .insert(MICRO_EXPIRES, HeaderValue::from(at));
}

/// Returns how long ago a call has expired; `None` without the header, and if it has not.
///
/// # Errors
///
/// `INVALID_ARGUMENT` for anything but a whole number.
pub(crate) fn expired_since(
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<Option<Duration>, Status> {
    let Some(value) = find(headers, &MICRO_EXPIRES) else {
        return Ok(None);
    };
    let Some(at) = parse_number(value.as_str()) else {
        return Err(Reason::BadHeader.status(format!(
            "`Micro-Expires: {}` is not a time in milliseconds since 1970",
            percent_encode(value.as_str(), 64)
        )));
    };
    let since = milliseconds(now).checked_sub(at);
    Ok(since.filter(|since| *since > 0).map(Duration::from_millis))
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(value: &str, now: u64) -> Result<Option<u64>, Status> {
        let mut headers = HeaderMap::new();
        headers.insert("micro-expires", value);
        let now = UNIX_EPOCH + Duration::from_millis(now);
        let since = expired_since(&headers, now)?;
        Ok(since.map(|since| u64::try_from(since.as_millis()).unwrap()))
    }

    #[test]
    fn a_call_expires_behind_its_time() {
        for (value, now, expected) in [
            ("1000", 999, None),
            ("1000", 1000, None),
            ("1000", 1001, Some(1)),
            ("0", 1000, Some(1000)),
            ("18446744073709551615", u64::MAX / 2, None),
        ] {
            assert_eq!(since(value, now).unwrap(), expected, "{value} at {now}");
        }
        assert_eq!(
            expired_since(&HeaderMap::new(), SystemTime::now()).unwrap(),
            None
        );
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        for value in ["", "-1", "1.5", "soon", "18446744073709551616", "+1"] {
            let status = since(value, 0).unwrap_err();
            assert_eq!(status.reason(), Some(Reason::BadHeader), "{value}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_deadline() {
        let mut headers = None;
        encode_expires(&mut headers, Duration::from_secs(60));
        let headers = headers.unwrap();
        let in_time = |seconds| {
            let now = SystemTime::now() + Duration::from_secs(seconds);
            expired_since(&headers, now).unwrap().is_none()
        };
        assert!(in_time(0) && in_time(59) && !in_time(61));
        let mut headers = None;
        encode_expires(&mut headers, Duration::MAX);
        assert!(
            expired_since(&headers.unwrap(), SystemTime::now())
                .unwrap()
                .is_none()
        );
    }
}
