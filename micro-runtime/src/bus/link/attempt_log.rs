//! `AttemptLog`: the log lines of failed attempts to connect.

use std::collections::HashMap;

use crate::error::Error;
use crate::log_limit::LogLimit;
use crate::printable::Printable;

/// Maximum number of causes that are told from each other.
const MAX_CAUSES: usize = 16;

/// Logs each cause at once, and then each 30 s with the number of attempts: a password that was changed while NATS was
/// away must not hide behind "nothing listens there".
#[derive(Default)]
pub(super) struct AttemptLog {
    causes: HashMap<String, LogLimit>,
}

impl AttemptLog {
    /// Logs an attempt that failed; `role` names the connection.
    pub(super) fn failed(&mut self, error: &Error, role: Option<&'static str>) {
        let cause = Printable(error).to_string();
        let is_known = self.causes.len() < MAX_CAUSES || self.causes.contains_key(&cause);
        // The causes beyond share one limit, under no text.
        let limited = if is_known { &*cause } else { "" };
        let limit = self.causes.entry(limited.to_owned()).or_default();
        limit.write(move |attempts| {
            tracing::warn!(
                connection = role,
                attempts,
                "NATS cannot be reached: {cause}"
            );
        });
    }
}
