//! `Differences`: what is declared against what is there, for people. Pure.

use std::fmt::{Debug, Write as _};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// The settings in which two configurations differ, one line each.
#[derive(Default)]
pub(super) struct Differences(String);

impl Differences {
    pub(super) fn text(&mut self, name: &str, expected: &str, found: &str) {
        if expected != found {
            let _ = write!(self.0, "\n  {name}: expected {expected}, found {found}");
        }
    }

    pub(super) fn debug(&mut self, name: &str, expected: impl Debug, found: impl Debug) {
        self.text(name, &format!("{expected:?}"), &format!("{found:?}"));
    }

    pub(super) fn duration(&mut self, name: &str, expected: Duration, found: Duration) {
        let shown = |duration| match duration {
            Duration::ZERO => "unlimited".to_owned(),
            duration => format!("{duration:?}"),
        };
        self.text(name, &shown(expected), &shown(found));
    }

    /// Zero and less is no limit, as for nats-server.
    pub(super) fn limit(&mut self, name: &str, expected: i64, found: i64) {
        let shown = |limit| match limit {
            ..=0 => "unlimited".to_owned(),
            limit => limit.to_string(),
        };
        self.text(name, &shown(expected), &shown(found));
    }

    pub(super) fn into_result(self, what: &str, remedy: &str) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::JetStream,
            format!(
                "{what} is not as declared:{}\nchange the declaration, or what is there ({remedy})",
                self.0
            ),
        ))
    }
}
