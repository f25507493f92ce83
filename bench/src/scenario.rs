//! A benchmark: its name, its work, the contenders, and the metrics that are reported.

use std::fmt;
use std::str::FromStr;

use crate::contender::Contender;
use crate::failure::Failure;

/// One benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) bench: String,
    pub(crate) task: Task,
    pub(crate) setup: Setup,
    pub(crate) peers: Vec<Peer>,
    pub(crate) metrics: &'static [Metric],
    /// Maximum number of pairs, for metrics that hardly vary.
    pub(crate) max_pairs: u32,
}

/// The servers under load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Setup {
    /// Further methods of each server, each with a subscription of its own.
    pub(crate) more_methods: usize,
    /// Server processes.
    pub(crate) instances: usize,
}

/// A contender with which ours is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) contender: Contender,
}

/// How a benchmark runs.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// A client process, beside a server process.
    Load(Work),
    /// A process of its own for each figure: `micro-bench <words> <stack> <url>`.
    Once(Vec<String>),
    /// A server process, until it is ready.
    Start,
}

/// The load that a client puts on its server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Events, published and handled.
    Publish {
        bytes: usize,
    },
    /// Events, stored and acknowledged.
    Store {
        bytes: usize,
    },
    /// Events, read from JetStream and acknowledged.
    Consume {
        bytes: usize,
    },
    Unary {
        bytes: usize,
        in_flight: usize,
    },
    /// Unary calls with one header.
    Nested {
        bytes: usize,
        in_flight: usize,
    },
    Stream {
        bytes: usize,
        direction: Direction,
    },
}

/// The direction in which messages are streamed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Server,
    Client,
    Both,
    /// One message at a time, there and back.
    PingPong,
}

/// A reported figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// The direction in which a metric improves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            more_methods: 0,
            instances: 1,
        }
    }
}

impl Metric {
    /// Returns ours against theirs, so that above 1 ours is better for every metric.
    pub(crate) fn ratio(&self, ours: f64, theirs: f64) -> f64 {
        // A growth of zero bytes would have no ratio.
        let least = if self.unit == "B" { 1.0 } else { 0.0 };
        match self.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours.max(least),
        }
    }
}

/// The form in which the driver writes it to a client's standard input.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unary { bytes, in_flight } => write!(f, "unary {bytes} {in_flight}"),
            Self::Nested { bytes, in_flight } => write!(f, "nested {bytes} {in_flight}"),
            Self::Publish { bytes } => write!(f, "publish {bytes} -"),
            Self::Store { bytes } => write!(f, "store {bytes} -"),
            Self::Consume { bytes } => write!(f, "consume {bytes} -"),
            Self::Stream { bytes, direction } => {
                let direction = match direction {
                    Direction::Server => "server",
                    Direction::Client => "client",
                    Direction::Both => "both",
                    Direction::PingPong => "ping-pong",
                };
                write!(f, "stream {bytes} {direction}")
            }
        }
    }
}

impl FromStr for Work {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let words: Vec<&str> = text.split(' ').collect();
        let [kind, bytes, how] = words[..] else {
            return Err(format!("`{text}` is no work").into());
        };
        let bytes = bytes.parse()?;
        let direction = |direction| Self::Stream { bytes, direction };
        Ok(match (kind, how) {
            ("unary", in_flight) => Self::Unary {
                bytes,
                in_flight: in_flight.parse()?,
            },
            ("nested", in_flight) => Self::Nested {
                bytes,
                in_flight: in_flight.parse()?,
            },
            ("publish", _) => Self::Publish { bytes },
            ("store", _) => Self::Store { bytes },
            ("consume", _) => Self::Consume { bytes },
            ("stream", "server") => direction(Direction::Server),
            ("stream", "client") => direction(Direction::Client),
            ("stream", "both") => direction(Direction::Both),
            ("stream", "ping-pong") => direction(Direction::PingPong),
            _ => return Err(format!("`{text}` is no work").into()),
        })
    }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
