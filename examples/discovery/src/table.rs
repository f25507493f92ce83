//! The table: one line for each instance, from the changes of a watch and the replies to PING and
//! STATS. It does no I/O; `main` queries and prints.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_runtime::discovery::{Change, Instance, Pong, Stats};

/// Known instances with their last round-trip times and statistics.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<(String, String), Row>,
}

#[derive(Debug, Default)]
struct Row {
    version: String,
    is_silent: bool,
    round_trip: Option<Duration>,
    stats: Option<Stats>,
}

const HEADER: [&str; 9] = [
    "SERVICE",
    "INSTANCE",
    "VERSION",
    "STATE",
    "RTT",
    "CALLS",
    "ERRORS",
    "IN FLIGHT",
    "P99",
];

impl Table {
    /// Applies a change, and returns a line that describes it.
    pub fn apply(&mut self, change: &Change) -> String {
        let instance = change.instance();
        let name = format!("{} {}", instance.name, instance.id);
        match change {
            Change::Left(_, how) => {
                self.rows.remove(&key(instance));
                format!("{name} left ({how:?})")
            }
            Change::Silent(_) => {
                self.row(instance).is_silent = true;
                format!("{name} is silent")
            }
            Change::Back(_) => {
                self.row(instance).is_silent = false;
                format!("{name} is back")
            }
            _ => {
                self.row(instance).version.clone_from(&instance.version);
                format!("{name} joined")
            }
        }
    }

    /// Updates the round-trip times and the counters of known instances.
    pub fn update(&mut self, pongs: Vec<Pong>, stats: Vec<Stats>) {
        for pong in pongs {
            if let Some(row) = self.rows.get_mut(&key(&pong.instance)) {
                row.round_trip = Some(pong.round_trip);
            }
        }
        for record in stats {
            if let Some(row) = self.rows.get_mut(&(record.name.clone(), record.id.clone())) {
                row.stats = Some(record);
            }
        }
    }

    /// Returns the table as text, each column as wide as its widest cell.
    #[must_use]
    pub fn render(&self) -> String {
        let header = HEADER.map(str::to_owned);
        let rows = self
            .rows
            .iter()
            .map(|((name, id), row)| row.cells(name, id));
        let lines = std::iter::once(header).chain(rows).collect::<Vec<_>>();
        let width = |column: usize| lines.iter().map(|cells| cells[column].len()).max();
        let widths = std::array::from_fn::<_, 9, _>(|column| width(column).unwrap_or(0));
        let mut text = String::new();
        for cells in &lines {
            let padded = cells.iter().zip(widths);
            let padded = padded.map(|(cell, width)| format!("{cell:width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn row(&mut self, instance: &Instance) -> &mut Row {
        self.rows.entry(key(instance)).or_default()
    }
}

impl Row {
    fn cells(&self, name: &str, id: &str) -> [String; 9] {
        let endpoints = || self.stats.iter().flat_map(|stats| &stats.endpoints);
        let data = || endpoints().filter_map(|endpoint| endpoint.data.as_ref());
        let calls = endpoints()
            .map(|endpoint| endpoint.num_requests)
            .sum::<u64>();
        let errors = endpoints().map(|endpoint| endpoint.num_errors).sum::<u64>();
        let in_flight = data().map(|data| data.in_flight).sum::<u64>();
        let p99 = data().map(|data| data.p99).max();
        [
            name.to_owned(),
            id.to_owned(),
            self.version.clone(),
            self.state().to_owned(),
            self.round_trip.map(format_time).unwrap_or_default(),
            calls.to_string(),
            errors.to_string(),
            in_flight.to_string(),
            p99.map(format_time).unwrap_or_default(),
        ]
    }

    fn state(&self) -> &'static str {
        let data = self.stats.as_ref().and_then(|stats| stats.data.as_ref());
        match data {
            _ if self.is_silent => "silent",
            Some(data) if !data.is_live => "not live",
            Some(data) if !data.is_ready => "not ready",
            _ => "serving",
        }
    }
}

fn key(instance: &Instance) -> (String, String) {
    (instance.name.clone(), instance.id.clone())
}

fn format_time(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} us"),
        micros => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_with_their_unit() {
        assert_eq!(format_time(Duration::from_micros(250)), "250 us");
        assert_eq!(format_time(Duration::from_micros(12_345)), "12.3 ms");
    }

    #[test]
    fn an_empty_table_renders_its_header() {
        let text = Table::default().render();
        assert!(text.starts_with("SERVICE  INSTANCE  VERSION"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
