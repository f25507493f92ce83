//! Two ends of a stream over a wire that loses, repeats, reorders and truncates frames. Time advances by a step of the
//! test, or when neither end can do anything else.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::application::{Application, Kind};
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::machine::{Machine, dropped, peer_gone};
use crate::stream::options::StreamLimits;
use crate::stream::output::reset_frame;
use crate::stream::stream_address::StreamAddress;
use crate::wire::FrameMark;

pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Number of kinds of steps; a step's remainder by it is its kind.
const STEP_KINDS: u8 = 8;
/// Maximum number of rounds until a run must have ended.
const ROUNDS: usize = 20_000;

/// Fate of a frame on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Arrives,
    IsLost,
    IsRepeated,
    /// Arrives after the next one.
    IsLate,
    /// This number of 256ths of it arrive.
    IsCut(u8),
}

/// How the call of a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Well,
    /// The handler's stream ends with an error.
    Failing,
    /// The client drops the stream at this step.
    Dropped(usize),
    /// The server resets the stream at this step.
    Reset(usize),
}

/// Everything that determines a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) ending: Ending,
    pub(super) max_payload: usize,
    pub(super) client: Side,
    pub(super) server: Side,
    pub(super) headers: usize,
    pub(super) trailers: usize,
    pub(super) steps: Vec<u8>,
    pub(super) fates: Vec<Fate>,
}

/// Window of one end, and the lengths of the messages that it sends.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) window: Credit,
    pub(super) lengths: Vec<usize>,
}

pub(super) struct Simulation {
    pub(super) client: Application,
    pub(super) server: Application,
    to_client: Wire,
    to_server: Wire,
    fates: VecDeque<Fate>,
    longest: usize,
    now: Instant,
    pub(super) began: Instant,
    /// Number of times that neither end could proceed without the clock.
    pub(super) stalls: usize,
}

#[derive(Default)]
struct Wire {
    frames: VecDeque<(Bytes, bool)>,
    late: Option<(Bytes, bool)>,
}

/// Returns whether a step lets a heartbeat pass: the last kind, see [`Simulation::step`].
pub(super) fn is_tick(step: u8) -> bool {
    step % STEP_KINDS == STEP_KINDS - 1
}

pub(super) fn limits(window: Credit) -> StreamLimits {
    StreamLimits {
        window,
        heartbeat: HEARTBEAT,
        open_timeout: OPEN_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        max_message_bytes: 16 * 1024 * 1024,
    }
}

pub(super) fn peer() -> StreamAddress {
    StreamAddress {
        instance: "a1".to_owned(),
        stream: "7f".to_owned(),
    }
}

/// Returns messages of these lengths that differ from each other by their bytes.
pub(super) fn messages(lengths: &[usize], salt: usize) -> Vec<Bytes> {
    let message = |(index, length): (usize, &usize)| {
        let byte = |at: usize| (salt + index * 7 + at * 3) as u8;
        (0..*length).map(byte).collect::<Vec<_>>().into()
    };
    lengths.iter().enumerate().map(message).collect()
}

pub(super) fn metadata(length: usize) -> Metadata {
    let mut metadata = Metadata::new();
    if length > 0 {
        metadata.append("k", "v".repeat(length)).unwrap();
    }
    metadata
}

impl Plan {
    /// Returns the messages that the client, or the server, sends.
    pub(super) fn messages(&self, of_client: bool) -> Vec<Bytes> {
        match (self.kind, of_client) {
            (Kind::ServerStreaming | Kind::LargeReply, true) => Vec::new(),
            (_, true) => messages(&self.client.lengths, 1),
            (Kind::LargeReply, false) => messages(&[20 * self.max_payload], 2),
            (_, false) => messages(&self.server.lengths, 2),
        }
    }
}

impl Simulation {
    pub(super) fn new(plan: &Plan) -> Self {
        let now = Instant::now();
        let max = plan.max_payload;
        let (own, theirs) = (plan.client.window, plan.server.window);
        let (client, server) = match plan.kind {
            Kind::LargeReply => (
                Machine::large_reply_client(peer(), limits(own), max, None, now),
                Machine::large_reply(peer(), limits(theirs), max, now),
            ),
            _ => (
                Machine::client(limits(own), max, None, now),
                Machine::server(peer(), limits(theirs), own, max, None, now),
            ),
        };
        let mut client = Application::new(plan.kind, client, own, max);
        let mut server = Application::new(plan.kind, server, theirs, max);
        let (requests, replies) = (plan.messages(true), plan.messages(false));
        let lengths = requests.iter().chain(&replies).map(Bytes::len);
        let longest = lengths.max().unwrap_or(0);
        client.left = requests.into();
        client.has_finished = matches!(plan.kind, Kind::ServerStreaming | Kind::LargeReply);
        server.headers = metadata(plan.headers);
        server.trailers = metadata(plan.trailers);
        if plan.ending == Ending::Failing {
            server.status = Some(Status::not_found("no account 7"));
        }
        if plan.kind == Kind::LargeReply {
            server.machine.sending.write_encoded(replies[0].clone());
            let trailers = std::mem::take(&mut server.trailers);
            server.machine.finish(server.status.take(), trailers);
            server.has_finished = true;
        } else {
            server.left = replies.into();
        }
        Self {
            client,
            server,
            to_client: Wire::default(),
            to_server: Wire::default(),
            fates: plan.fates.clone().into(),
            longest,
            now,
            began: now,
            stalls: 0,
        }
    }

    /// Executes the steps of the plan, then continues until both ends are done.
    pub(super) fn run(&mut self, plan: &Plan) {
        for (at, step) in plan.steps.iter().enumerate() {
            match plan.ending {
                Ending::Dropped(when) if when == at => {
                    self.client.machine.reset(dropped("dropped"));
                }
                Ending::Reset(when) if when == at => {
                    let status = Reason::ShuttingDown.status("x");
                    self.server.machine.reset(status);
                }
                _ => {}
            }
            self.step(*step);
        }
        self.settle();
    }

    fn step(&mut self, step: u8) {
        match step % STEP_KINDS {
            0 => drop(self.client.send()),
            1 => drop(self.client.take()),
            2 => drop(self.server.send()),
            3 => drop(self.server.take()),
            4 => drop(self.publish(true)),
            5 => drop(self.publish(false)),
            6 => drop(self.deliver(true) || self.deliver(false)),
            _ => {
                // Frames on their way arrive before a heartbeat has passed.
                while self.carry() {}
                self.tick(self.now + HEARTBEAT);
                while self.carry() {}
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for end in [&mut self.client, &mut self.server] {
            end.machine.on_time(self.now);
        }
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let mut moved = self.client.send() | self.client.take();
            moved |= self.server.send() | self.server.take();
            moved |= self.carry();
            if moved {
                continue;
            }
            let ends = [&self.client, &self.server];
            if ends.iter().all(|end| end.machine.is_done()) {
                let have_outcomes = ends.iter().all(|end| end.outcome.is_some());
                assert!(have_outcomes, "an application gets no end");
                return;
            }
            let next = ends.iter().filter_map(|end| end.machine.next_time());
            let next = next.min().expect("neither end waits for the clock");
            self.stalls += 1;
            self.tick(next);
        }
        panic!("there is no end");
    }

    /// Publishes and delivers all frames; returns whether there was one.
    fn carry(&mut self) -> bool {
        let mut moved = false;
        while self.publish(true) || self.publish(false) {
            moved = true;
        }
        while self.deliver(true) || self.deliver(false) {
            moved = true;
        }
        moved
    }

    fn publish(&mut self, from_client: bool) -> bool {
        let (end, wire) = match from_client {
            true => (&mut self.client, &mut self.to_server),
            false => (&mut self.server, &mut self.to_client),
        };
        let Some(output) = end.output(self.now) else {
            return wire
                .late
                .take()
                .map(|late| wire.frames.push_back(late))
                .is_some();
        };
        let frame = (output.payload, output.is_probe);
        let late = wire.late.take();
        match self.fates.pop_front().unwrap_or(Fate::Arrives) {
            Fate::Arrives => wire.frames.push_back(frame),
            Fate::IsLost => {}
            Fate::IsRepeated => wire.frames.extend([frame.clone(), frame]),
            Fate::IsLate => wire.late = Some(frame),
            Fate::IsCut(part) => {
                let length = frame.0.len() * usize::from(part) / 256;
                wire.frames.push_back((frame.0.slice(..length), frame.1));
            }
        }
        wire.frames.extend(late);
        true
    }

    fn deliver(&mut self, to_client: bool) -> bool {
        let (end, wire) = match to_client {
            true => (&mut self.client, &mut self.to_client),
            false => (&mut self.server, &mut self.to_server),
        };
        let Some((payload, asks)) = wire.frames.pop_front() else {
            return false;
        };
        if !end.machine.is_done() {
            end.receive(payload, self.longest, self.now);
        } else if asks && !to_client {
            let reset = reset_frame(FrameMark::OfServer, &peer_gone("there is no such stream"));
            self.to_client.frames.push_back((reset, false));
        }
        true
    }

    pub(super) fn lasted(&self) -> Duration {
        self.now - self.began
    }
}
