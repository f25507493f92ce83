//! The figures of one set-up: a table, and what must hold of it.

use std::collections::BTreeMap;

use micro_runtime::{Code, Reason};

use crate::workload::Outcome;

/// Results of all loads of one set-up.
pub(crate) struct Figures {
    set_up: &'static str,
    outcomes: Vec<Outcome>,
    notes: Vec<String>,
}

impl Figures {
    pub(crate) fn new(set_up: &'static str) -> Self {
        Self {
            set_up,
            outcomes: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Prints a row for each load.
    pub(crate) fn print(&self) {
        println!(
            "\n| {:30} | delay, in flight |     calls |  own reply | wrong | unmatched | seconds | failures |",
            self.set_up
        );
        println!(
            "|{:-<32}|------------------|-----------|------------|-------|-----------|---------|----------|",
            ""
        );
        for outcome in &self.outcomes {
            let load = outcome.load;
            let share = 100.0 * outcome.own as f64 / outcome.calls as f64;
            println!(
                "| {:30} | {:4} ms, {:5}   | {:9} | {share:8.4} % | {:5} | {:9} | {:7.1} | {} |",
                "",
                load.max_delay.as_millis(),
                load.in_flight,
                outcome.calls,
                outcome.wrong,
                outcome.unmatched,
                outcome.took.as_secs_f64(),
                failures(outcome)
            );
        }
        for note in &self.notes {
            println!("  {note}");
        }
    }

    pub(crate) fn expect_every_call_succeeded(&self) {
        for outcome in &self.outcomes {
            assert_eq!(outcome.wrong, 0, "{}", self.set_up);
            let first = outcome.failures.first();
            assert!(first.is_none(), "{}: {first:?}", self.set_up);
            assert_eq!(outcome.own, outcome.calls, "{}", self.set_up);
        }
    }

    /// Checks that a call has its own reply, or an error that names the stream that acknowledged its request.
    pub(crate) fn expect_own_replies_or_the_name_of_the_stream(&self, stream: &str) {
        for outcome in &self.outcomes {
            assert_eq!(outcome.wrong, 0, "{}", self.set_up);
            for failure in &outcome.failures {
                let status = &failure.status;
                assert_eq!(status.code(), Code::Internal, "{status}");
                assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
                let names_stream = status.message().contains(&format!("`{stream}`"));
                assert!(names_stream, "{status}");
            }
        }
    }

    /// Checks that each load has calls that succeed and calls that fail.
    pub(crate) fn expect_some_of_each(&self) {
        for outcome in &self.outcomes {
            assert!(outcome.own > 0, "{}", self.set_up);
            assert!(!outcome.failures.is_empty(), "{}", self.set_up);
        }
    }
}

/// Returns the number of failures by code.
fn failures(outcome: &Outcome) -> String {
    let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
    for failure in &outcome.failures {
        *by_code
            .entry(format!("{:?}", failure.status.code()))
            .or_default() += 1;
    }
    let counts: Vec<String> = by_code
        .into_iter()
        .map(|(code, count)| format!("{count} {code}"))
        .collect();
    match counts.is_empty() {
        true => "none".to_owned(),
        false => counts.join(", "),
    }
}
