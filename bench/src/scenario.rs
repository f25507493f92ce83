//! What is measured: a name, the work behind it, who is compared, and which figures count.

use std::fmt;
use std::str::FromStr;

use crate::Failure;
use crate::stack::Stack;

/// One benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) bench: String,
    pub(crate) task: Task,
    pub(crate) setup: Setup,
    pub(crate) peers: Vec<Peer>,
    pub(crate) metrics: &'static [Metric],
    /// So many pairs are enough for what hardly varies.
    pub(crate) most_pairs: u32,
}

/// What serves the load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Setup {
    /// Methods that each server has besides, each with a subscription of its own.
    pub(crate) more_methods: usize,
    /// Server processes.
    pub(crate) instances: usize,
}

/// Whom ours is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) stack: Stack,
}

/// Who does the work.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// A client process, beside a server process.
    Load(Work),
    /// A process of its own, once for each figure: `micro-bench <words> <stack> <url>`.
    Once(Vec<String>),
    /// A server, until it is ready.
    Start,
}

/// The load that a client puts on its server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Events, published and read.
    Publish {
        bytes: usize,
    },
    /// Events, stored and acknowledged.
    Store {
        bytes: usize,
    },
    /// Events, read from where they are stored, and acknowledged.
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

/// Which way messages stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Server,
    Client,
    Both,
    /// One message at a time, there and back.
    PingPong,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// Which way a figure is better.
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
    /// Ours against theirs, so that more than 1 always means that we are better.
    pub(crate) fn ratio(&self, ours: f64, theirs: f64) -> f64 {
        // Less than a byte is nothing: a growth of zero has no ratio.
        let least = if self.unit == "B" { 1.0 } else { 0.0 };
        match self.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours.max(least),
        }
    }
}

/// As the driver writes it to a client's standard input.
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
