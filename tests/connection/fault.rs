//! `Fault`: what happens to the connections of a side, or to the nats-server.

use std::fmt;
use std::time::Duration;

use micro_testkit::Direction;

use crate::network::{Network, Side};

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The nats-server is killed, and started again.
    Away,
    /// The nats-server is stopped by SIGSTOP.
    Frozen,
    /// Nothing passes in either direction, on connections that exist and on new ones.
    BlackHole(Side),
    /// The connections that exist are closed in one direction.
    HalfClosed(Side, Direction),
    /// Nothing passes in one direction of the connections that exist. New ones work.
    Silent(Side, Direction),
}

/// Maximum delay between two attempts to connect while they are refused, and otherwise.
const MAX_DELAY_REFUSED: Duration = Duration::from_millis(400);
const MAX_DELAY: Duration = Duration::from_secs(2);
/// Time that a connection and the first call on it may take.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// Time within which a connection that is silent counts as lost: 2 s, what a window of 256 KiB takes at 256 KiB/s, and
/// the interval of the pulses.
const SILENCE: Duration = Duration::from_millis(3_200);

impl Fault {
    pub(crate) async fn begin(self, network: &mut Network) {
        match self {
            Self::Away => network.nats.kill().unwrap(),
            Self::Frozen => network.nats.pause().unwrap(),
            Self::BlackHole(side) => {
                let proxy = network.proxy(side);
                proxy.ignore_new();
                proxy.hold(Direction::ToServer);
                proxy.hold(Direction::ToClient);
            }
            Self::HalfClosed(side, direction) => network.proxy(side).half_close(direction),
            Self::Silent(side, direction) => network.proxy(side).hold(direction),
        }
    }

    pub(crate) async fn end(self, network: &mut Network) {
        match self {
            Self::Away => network.nats.restart().await.unwrap(),
            Self::Frozen => network.nats.resume().unwrap(),
            Self::BlackHole(side) | Self::Silent(side, _) => network.proxy(side).release(),
            Self::HalfClosed(..) => {}
        }
    }

    /// Returns whether a new connection works from the beginning of the fault on: then it is over at once.
    pub(crate) fn is_over_at_once(self) -> bool {
        matches!(self, Self::HalfClosed(..) | Self::Silent(..))
    }

    /// Returns whether the caller's own connection, or NATS, fails.
    pub(crate) fn is_at_caller(self) -> bool {
        match self {
            Self::Away | Self::Frozen => true,
            Self::BlackHole(side) | Self::HalfClosed(side, _) | Self::Silent(side, _) => {
                side == Side::Caller
            }
        }
    }

    /// Returns the time from the end of the fault until calls succeed again; where it is over at once, that without
    /// calls.
    pub(crate) fn recovery_limit(self) -> Duration {
        match self {
            Self::Away | Self::HalfClosed(..) => MAX_DELAY_REFUSED + CONNECT_TIME,
            Self::Frozen | Self::BlackHole(_) => MAX_DELAY + CONNECT_TIME,
            Self::Silent(..) => SILENCE + CONNECT_TIME,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("away"),
            Self::Frozen => f.write_str("frozen"),
            Self::BlackHole(side) => write!(f, "black hole at the {side:?}"),
            Self::HalfClosed(side, direction) => {
                write!(f, "half-closed {direction:?} at the {side:?}")
            }
            Self::Silent(side, direction) => write!(f, "silent {direction:?} at the {side:?}"),
        }
    }
}
