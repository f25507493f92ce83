//! The forms of a `Status` with its sources: `Debug`, which a program shows that ends with one, and one line for logs.

use std::error::Error as StdError;
use std::fmt;

use prost::Name;
use prost_types::Any;

use crate::printable::Printable;
use crate::status::details::{
    BadRequest, DebugInfo, ErrorInfo, Help, LocalizedMessage, PreconditionFailure, QuotaFailure,
    RequestInfo, ResourceInfo, RetryInfo,
};
use crate::status::status::Status;

/// The report that `fn main() -> Result<(), Status>` prints: code, reason and text, as in
/// `UNAVAILABLE (NO_RESPONDERS): no instance serves a.B.C`, then a line for each detail and each source. Details of
/// `google.rpc` are decoded.
impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())?;
        if let Some(reason) = self.reason() {
            write!(f, " ({})", reason.name())?;
        }
        if !self.message().is_empty() {
            write!(f, ": {}", Printable(self.message()))?;
        }
        for detail in self.details() {
            write!(f, "\n  detail: {}", Printable(ShownDetail(detail)))?;
        }
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n  caused by: {}", Printable(cause))?;
            source = cause.source();
        }
        Ok(())
    }
}

impl Status {
    /// Returns code and text in one line, and behind them the sources that the text does not repeat.
    pub(crate) fn with_sources(&self) -> impl fmt::Display {
        WithSources(self)
    }

    /// Returns the text, and behind it the sources that it does not repeat.
    #[cfg(feature = "jetstream")]
    pub(crate) fn message_with_sources(&self) -> String {
        let mut text = self.message().to_owned();
        add_sources(&mut text, self.source());
        text
    }
}

/// A status in one line of a log.
struct WithSources<'a>(&'a Status);

impl fmt::Display for WithSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.message().to_owned();
        add_sources(&mut text, self.0.source());
        match text.as_str() {
            "" => write!(f, "{}", self.0.code()),
            text => write!(f, "{}: {}", self.0.code(), Printable(text)),
        }
    }
}

/// Adds the texts of `source` and of what is below it, without those that are in `text` already.
fn add_sources(text: &mut String, mut source: Option<&(dyn StdError + 'static)>) {
    while let Some(cause) = source {
        let shown = cause.to_string();
        if !text.contains(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        source = cause.source();
    }
}

/// Shows a standard detail with its fields, and any other with its type and length.
struct ShownDetail<'a>(&'a Any);

impl fmt::Display for ShownDetail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Any { type_url, value } = self.0;
        let shown = [
            shown::<ErrorInfo>,
            shown::<RetryInfo>,
            shown::<DebugInfo>,
            shown::<QuotaFailure>,
            shown::<PreconditionFailure>,
            shown::<BadRequest>,
            shown::<RequestInfo>,
            shown::<ResourceInfo>,
            shown::<Help>,
            shown::<LocalizedMessage>,
        ];
        match shown.iter().find_map(|shown| shown(self.0)) {
            Some(text) => f.write_str(&text),
            None => {
                let name = type_url.rsplit('/').next().unwrap_or(type_url);
                write!(f, "{name}, {} bytes", value.len())
            }
        }
    }
}

fn shown<D: Name + Default + fmt::Debug>(detail: &Any) -> Option<String> {
    detail
        .to_msg::<D>()
        .ok()
        .map(|detail| format!("{detail:?}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::status::details::FieldViolation;
    use crate::status::{Code, Reason};

    #[test]
    fn the_report_of_a_program_that_ends_with_a_status_is_for_people() {
        let check = |status: Status, expected: &str| assert_eq!(format!("{status:?}"), expected);
        check(
            Reason::NoResponders.status("no instance serves a.B.C"),
            "UNAVAILABLE (NO_RESPONDERS): no instance serves a.B.C",
        );
        check(Status::new(Code::Internal, ""), "INTERNAL");
        let field = FieldViolation {
            field: "name".into(),
            ..FieldViolation::default()
        };
        let bad = BadRequest {
            field_violations: vec![field],
        };
        let other = Any {
            type_url: "type.googleapis.com/acme.v1.Quota".into(),
            value: vec![1, 2, 3],
        };
        let status = Status::invalid_argument("bad request")
            .with_detail(&bad)
            .with_details([other])
            .with_source(io::Error::other("the disk is full"));
        let shown = format!("{status:?}");
        let lines = shown.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), 4, "{shown}");
        assert_eq!(lines[0], "INVALID_ARGUMENT: bad request");
        assert!(lines[1].starts_with("  detail: BadRequest {"), "{shown}");
        assert!(lines[1].contains("field: \"name\""), "{shown}");
        assert_eq!(lines[2], "  detail: acme.v1.Quota, 3 bytes");
        assert_eq!(lines[3], "  caused by: the disk is full");
    }

    #[test]
    fn one_line_of_a_log_has_each_source_once() {
        let check = |status: Status, expected: &str| {
            assert_eq!(status.with_sources().to_string(), expected);
        };
        check(Status::internal("no price"), "INTERNAL: no price");
        check(Status::internal(""), "INTERNAL");
        let disk = || io::Error::other(io::Error::other("the disk\nis full"));
        check(
            Status::internal("no price").with_source(disk()),
            "INTERNAL: no price: the disk\\nis full",
        );
        check(
            Status::internal("no price, the disk\nis full").with_source(disk()),
            "INTERNAL: no price, the disk\\nis full",
        );
        let below = Status::not_found("no account").with_source(disk());
        check(
            Status::internal("no price").with_source(below),
            "INTERNAL: no price: NOT_FOUND: no account: the disk\\nis full",
        );
    }

    #[test]
    fn texts_of_peers_forge_no_line() {
        let other = Any {
            type_url: "x/a\n  caused by: nothing".into(),
            value: Vec::new(),
        };
        let status = Status::not_found("no\nINFO forged\u{1b}[2J")
            .with_details([other])
            .with_source(io::Error::other("away\r\nINFO forged"));
        assert_eq!(
            format!("{status:?}"),
            "NOT_FOUND: no\\nINFO forged\\u{1b}[2J\n  detail: a\\n  caused by: nothing, 0 bytes\n  \
             caused by: away\\r\\nINFO forged",
        );
        assert_eq!(status.to_string(), "NOT_FOUND: no\\nINFO forged\\u{1b}[2J");
    }
}
