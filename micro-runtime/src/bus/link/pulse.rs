//! The pulses of a link: messages to the own inbox, by whose arrival NATS confirms what was sent before (`window`), and
//! the task that notices when NATS sends nothing any more (`silence`).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::link::link_logs::LinkLogs;
use crate::bus::link::silence::{LinkBytes, Silence, SilenceLimits};
use crate::bus::link::window::Window;
use crate::bus::mux::{ConfirmedRequests, FrameSink, Mux, ReplySlot};
use crate::status::{Reason, Status};

/// Interval of the pulses while anything is unconfirmed.
const PULSE_INTERVAL: Duration = Duration::from_millis(50);

/// Sends the pulses of one link. The payload of each is what its arrival confirms: a number of bytes, and the place of
/// the last request.
pub(super) struct Pulses {
    client: Client,
    mux: Arc<Mux>,
    window: Arc<Window>,
    /// Whether all requests that are not confirmed went through this link.
    confirms_requests: AtomicBool,
    /// Subject of all pulses, whose slot this holds.
    subject: Subject,
    _slot: ReplySlot,
}

/// Receiver of pulses.
struct PulseSink {
    window: Arc<Window>,
    confirmed: Arc<ConfirmedRequests>,
    /// Canceled once the link is lost.
    lost: CancellationToken,
}

impl FrameSink for PulseSink {
    fn deliver(&self, message: Message) -> bool {
        let confirmed = <[[u8; 8]; 2]>::try_from(message.payload.as_chunks().0);
        confirmed.is_ok_and(|[total, order]| {
            self.window.confirm(u64::from_be_bytes(total));
            self.confirmed.raise(u64::from_be_bytes(order));
            true
        })
    }

    /// The link is lost, or NATS refuses the inbox: no pulse arrives. The loss of another link is none of this one.
    fn fail(&self, status: &Status) {
        if self.lost.is_cancelled() || status.reason() != Some(Reason::Disconnected) {
            self.window.end_pulses();
        }
    }

    fn refuse(&self, _status: &Status, _is_opening: bool) {
        tracing::debug!(
            "NATS does not let this user publish to its own inbox: a silent connection is noticed by its PINGs alone"
        );
        self.window.end_pulses();
        self.confirmed.set(u64::MAX);
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
        let sink = Arc::new(PulseSink {
            window: Arc::clone(window),
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
        let payload = [total, order].map(u64::to_be_bytes);
        let payload = Bytes::copy_from_slice(payload.as_flattened());
        let sending = self.client.publish(self.subject.clone(), payload);
        let cx = &mut Context::from_waker(Waker::noop());
        // Without room the next one comes soon.
        let _ = pin!(unconstrained(sending)).poll(cx);
    }
}

/// Sends pulses while anything is unconfirmed, and cancels `lost` once NATS has been silent for too long.
pub(super) async fn watch(
    pulses: Arc<Pulses>,
    limits: SilenceLimits,
    lost: CancellationToken,
    logs: Arc<LinkLogs>,
) {
    let statistics = pulses.client.statistics();
    let window = &pulses.window;
    let mut silence = Silence::new(limits);
    let mut last = Instant::now();
    loop {
        let is_busy = window.unconfirmed() > 0;
        let step = match is_busy {
            true => PULSE_INTERVAL,
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
        let unconfirmed = bytes.unconfirmed;
        if silence.is_over() {
            logs.silent(unconfirmed);
            return lost.cancel();
        }
        if unconfirmed > 0 {
            pulses.send();
        }
    }
}
