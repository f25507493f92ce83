//! The pulses of a link: messages to the own inbox, by whose arrival NATS confirms what was sent before (`window`), and
//! the task that notices when NATS sends nothing any more (`silence`).

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::link::link_logs::LinkLogs;
use crate::bus::link::link_traffic::LinkTraffic;
use crate::bus::link::silence::{LinkBytes, Silence, SilenceLimits};
use crate::bus::link::window::Window;
use crate::bus::mux::{ConfirmedRequests, FrameSink, Mux, ReplySlot};
use crate::status::{Reason, Status};
use crate::sync::lock;

/// Interval of the pulses while anything is unconfirmed.
const PULSE_INTERVAL: Duration = Duration::from_millis(50);
/// Interval of the pulses of a link that something comes on, and nothing goes out.
const READING_PULSE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of the pulses while requests come in a burst.
const BURST_PULSE_INTERVAL: Duration = Duration::from_millis(10);
/// Maximum number of pulses whose times are kept. A connection has fewer on the way but for one that is frozen.
const MAX_TIMES: usize = 256;

/// Sends the pulses of one link. The payload of each is what its arrival confirms: a number of bytes, and the place of
/// the last request; and its own number.
pub(super) struct Pulses {
    client: Client,
    mux: Arc<Mux>,
    window: Arc<Window>,
    /// Whether all requests that are not confirmed went through this link.
    confirms_requests: AtomicBool,
    /// Subject of all pulses, whose slot this holds.
    subject: Subject,
    times: Arc<Mutex<PulseTimes>>,
    _slot: ReplySlot,
}

/// When the pulses that have not arrived yet were sent, the oldest first.
#[derive(Default)]
struct PulseTimes {
    sent: VecDeque<(u64, Instant)>,
    last_number: u64,
    /// When the last one was sent, of all.
    last: Option<Instant>,
    /// Number of those that have arrived.
    arrived: u64,
}

/// Receiver of pulses.
struct PulseSink {
    times: Arc<Mutex<PulseTimes>>,
    window: Arc<Window>,
    confirmed: Arc<ConfirmedRequests>,
    /// Canceled once the link is lost.
    lost: CancellationToken,
}

impl FrameSink for PulseSink {
    fn deliver(&self, message: Message) -> bool {
        let confirmed = <[[u8; 8]; 3]>::try_from(message.payload.as_chunks().0);
        confirmed.is_ok_and(|[total, order, number]| {
            let sent = lock(&self.times).arrived(u64::from_be_bytes(number));
            let total = u64::from_be_bytes(total);
            if let Some(sent) = sent {
                let confirmed = total.saturating_sub(self.window.confirmed_bytes());
                self.window.bulk.note_round_trip(sent.elapsed(), confirmed);
            }
            self.window.confirm(total);
            self.confirmed.raise(u64::from_be_bytes(order));
            true
        })
    }

    /// The link is lost, or NATS refuses the inbox: no pulse arrives. The loss of another link is none of this one.
    fn fail(&self, status: &Status) {
        if self.lost.is_cancelled() || status.reason() != Some(Reason::Disconnected) {
            self.end();
        }
    }

    fn refuse(&self, _status: &Status, _is_opening: bool) {
        tracing::debug!(
            "NATS does not let this user publish to its own inbox: a silent connection is noticed by its PINGs alone"
        );
        self.end();
        self.confirmed.set(u64::MAX);
    }
}

impl PulseSink {
    fn end(&self) {
        self.window.end_pulses();
        lock(&self.times).sent.clear();
    }
}

impl Pulses {
    /// Returns the pulses of a link; `None` where NATS refuses the inbox. Where the link takes over from another one,
    /// they confirm no requests at first: the other one may have some.
    pub(super) fn new(
        client: &Client,
        mux: &Arc<Mux>,
        window: &Arc<Window>,
        lost: &CancellationToken,
        takes_over: bool,
    ) -> Option<Self> {
        let confirmed = Arc::clone(mux.confirmed());
        let times = Arc::default();
        let sink = Arc::new(PulseSink {
            window: Arc::clone(window),
            times: Arc::clone(&times),
            confirmed: Arc::clone(&confirmed),
            lost: lost.clone(),
        });
        let (slot, subject) = mux.reserve_for_pulses(sink).ok()?;
        if !takes_over {
            // Those of the link before have ended.
            confirmed.set(mux.last_order());
        }
        Some(Self {
            client: client.clone(),
            mux: Arc::clone(mux),
            window: Arc::clone(window),
            confirms_requests: AtomicBool::new(!takes_over),
            subject,
            times,
            _slot: slot,
        })
    }

    /// Confirms requests from here on: the link before has none any more.
    pub(super) fn confirm_requests(&self) {
        self.confirms_requests.store(true, Ordering::Relaxed);
    }

    /// Sends a pulse if the queue of the client has room.
    pub(super) fn send(&self) {
        let order = match self.confirms_requests.load(Ordering::Relaxed) {
            true => self.mux.last_order(),
            false => 0,
        };
        let Some(total) = self.window.begin_pulse() else {
            return;
        };
        let mut times = lock(&self.times);
        let number = times.last_number + 1;
        let payload = [total, order, number].map(u64::to_be_bytes);
        let payload = Bytes::copy_from_slice(payload.as_flattened());
        let sending = self.client.publish(self.subject.clone(), payload);
        let cx = &mut Context::from_waker(Waker::noop());
        // Without room the next one comes soon.
        if matches!(pin!(unconstrained(sending)).poll(cx), Poll::Ready(Ok(()))) {
            times.sent(number, Instant::now());
        }
    }

    /// Returns when the messages that are read now had reached NATS at the latest; `now` if that is not known. It is
    /// for requests that come in a burst, and sends a pulse if none was sent for 10 ms.
    ///
    /// A request waits in nats-server, on the way and in async-nats before it can be read. NATS keeps the order of what
    /// it sends to a connection: what is read while a pulse is out was there before the pulse. Where the pulse itself
    /// is held up on its way to NATS, a reply would be, too.
    pub(super) fn reached_by(&self, now: Instant) -> Instant {
        let times = lock(&self.times);
        let is_due = times
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= BURST_PULSE_INTERVAL);
        let oldest = times.sent.front().map_or(now, |(_, sent)| *sent);
        drop(times);
        if is_due {
            self.send();
        }
        oldest.min(now)
    }
}

impl PulseTimes {
    fn sent(&mut self, number: u64, now: Instant) {
        self.last_number = number;
        self.last = Some(now);
        if self.sent.len() < MAX_TIMES {
            self.sent.push_back((number, now));
        }
    }

    /// Takes off the pulses up to this one; returns when it was sent, if that is known.
    fn arrived(&mut self, number: u64) -> Option<Instant> {
        self.arrived += 1;
        let mut last = None;
        while self.sent.front().is_some_and(|(sent, _)| *sent <= number) {
            last = self.sent.pop_front();
        }
        last.filter(|(sent, _)| *sent == number).map(|(_, at)| at)
    }
}

/// Sends pulses while anything is unconfirmed, and cancels `lost` once NATS has been silent for too long.
pub(super) async fn watch(
    pulses: Arc<Pulses>,
    limits: SilenceLimits,
    lost: CancellationToken,
    logs: Arc<LinkLogs>,
    traffic: Arc<LinkTraffic>,
) {
    let statistics = pulses.client.statistics();
    let window = &pulses.window;
    let mut silence = Silence::new(limits);
    let mut last = Instant::now();
    let (mut received, mut is_reading) = (0, false);
    loop {
        let is_busy = window.unconfirmed() > 0;
        let step = match is_busy {
            true => PULSE_INTERVAL,
            false if is_reading => READING_PULSE_INTERVAL,
            false => limits.ping_interval / 2,
        };
        tokio::select! {
            () = lost.cancelled() => return,
            () = window.begun(), if !is_busy => {}
            () = tokio::time::sleep(step) => {}
        }
        let elapsed = last.elapsed();
        last += elapsed;
        let bytes = LinkBytes {
            received: statistics.in_bytes.load(Ordering::Relaxed),
            confirmed: window.confirmed_bytes(),
            unconfirmed: window.unconfirmed(),
        };
        silence.look(bytes, elapsed, step);
        traffic.look(bytes.received);
        let unconfirmed = bytes.unconfirmed;
        if silence.is_over() {
            traffic.explain();
            logs.silent(unconfirmed);
            return lost.cancel();
        }
        if unconfirmed > 0 {
            pulses.send();
            continue;
        }
        let messages = statistics.in_messages.load(Ordering::Relaxed);
        let others = messages.saturating_sub(lock(&pulses.times).arrived);
        is_reading = others > received;
        received = others;
        if is_reading {
            // A pulse is due: a connection that only reads has nothing unconfirmed by itself.
            window.add(0);
        }
    }
}
