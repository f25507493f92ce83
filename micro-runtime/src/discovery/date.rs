//! Time as RFC 3339 text, as ADR-32 has it in `started`. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Last second that RFC 3339 can express, in seconds since 1970: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Returns `moment` in UTC with microseconds, as in `2026-11-22T20:14:07.123456Z`.
///
/// A clock before 1970 or after the year 9999 gives the nearest moment that can be written: a server
/// with a wrong clock still replies.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    humantime::format_rfc3339_micros(moment.clamp(UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        let check = |seconds: u64, expected: &str| {
            let text = rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(text, format!("{expected}.000000Z"));
        };
        check(0, "1970-01-01T00:00:00");
        check(951_782_399, "2000-02-28T23:59:59");
        check(951_782_400, "2000-02-29T00:00:00");
        check(951_868_800, "2000-03-01T00:00:00");
        check(1_795_378_447, "2026-11-22T20:14:07");
        check(4_107_542_400, "2100-03-01T00:00:00");
        check(253_402_300_799, "9999-12-31T23:59:59");
        check(253_402_300_800, "9999-12-31T23:59:59");
    }

    #[test]
    fn fractions_are_cut_to_microseconds() {
        let text = rfc3339(UNIX_EPOCH + Duration::from_nanos(1_000_001_999));
        assert_eq!(text, "1970-01-01T00:00:01.000001Z");
    }

    #[test]
    fn times_before_1970_are_written_as_its_beginning() {
        let text = rfc3339(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(text, "1970-01-01T00:00:00.000000Z");
    }
}
