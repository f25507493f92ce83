//! `Differences`: compares declared settings with existing ones, as text for operators. Does no I/O.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// The settings in which two configurations differ, one line each.
#[derive(Default)]
pub(super) struct Differences(Vec<String>);

impl Differences {
    /// Compares two values as texts.
    pub(super) fn text(&mut self, name: &str, expected: &str, found: &str) {
        if expected != found {
            let line = format!("  {name}: expected {expected}, found {found}");
            self.0.push(line);
        }
    }

    /// Compares two values by their debug output.
    pub(super) fn debug(&mut self, name: &str, expected: impl Debug, found: impl Debug) {
        self.text(name, &format!("{expected:?}"), &format!("{found:?}"));
    }

    /// Compares two durations, where zero is no limit.
    pub(super) fn duration(&mut self, name: &str, expected: Duration, found: Duration) {
        let shown = |duration| match duration {
            Duration::ZERO => "unlimited".to_owned(),
            duration => format!("{duration:?}"),
        };
        self.text(name, &shown(expected), &shown(found));
    }

    /// Compares two limits, where zero and less is none, as for nats-server.
    pub(super) fn limit(&mut self, name: &str, expected: i64, found: i64) {
        let shown = |limit| match limit {
            ..=0 => "unlimited".to_owned(),
            limit => limit.to_string(),
        };
        self.text(name, &shown(expected), &shown(found));
    }

    /// Ends the comparison. `subject` names the stream or consumer, and `remedy` the command that changes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] with all differences, if there is one.
    pub(super) fn into_result(self, subject: &str, remedy: &str) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = format!("{subject} is not as declared:");
        let advice = format!("change the declaration, or what is there ({remedy})");
        Err(Error::new(ErrorKind::JetStream, message)
            .with_lines(self.0)
            .with_lines([advice]))
    }
}
