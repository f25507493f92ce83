//! `Endings`: how often something ended in each way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use micro_runtime::{Code, Reason, Status};

/// Counts by code and reason.
#[derive(Debug, Default)]
pub(crate) struct Endings(Mutex<BTreeMap<String, Ending>>);

#[derive(Clone, Debug)]
struct Ending {
    code: Code,
    reason: Option<Reason>,
    count: usize,
    /// Text of the first.
    example: String,
}

impl Endings {
    pub(crate) fn add(&self, status: &Status) {
        let (code, reason) = (status.code(), status.reason());
        let name = match reason {
            Some(reason) => format!("{reason:?}"),
            None => format!("{code:?}"),
        };
        let new = || Ending {
            code,
            reason,
            count: 0,
            example: status.to_string(),
        };
        self.0.lock().unwrap().entry(name).or_insert_with(new).count += 1;
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(|one| one.count).sum()
    }

    /// Returns the texts of those whose code or reason is not expected.
    pub(crate) fn unexpected(&self, is_expected: fn(Code, Option<Reason>) -> bool) -> Vec<String> {
        let endings = self.0.lock().unwrap();
        let unexpected = endings
            .values()
            .filter(|one| !is_expected(one.code, one.reason));
        unexpected
            .map(|one| format!("{} × {}", one.count, one.example))
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl fmt::Display for Endings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endings = self.0.lock().unwrap();
        let endings: Vec<String> = endings
            .iter()
            .map(|(name, one)| format!("{} {name}", one.count))
            .collect();
        match endings.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&endings.join(", ")),
        }
    }
}
