//! The pulses of a link: messages to the own inbox, by whose arrival NATS confirms what was sent before (`window`), and
//! the task that notices when NATS sends nothing any more (`silence`).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::link::silence::{Silence, SilenceLimits};
use crate::bus::link::window::Window;
use crate::bus::mux::{FrameSink, Mux, ReplySlot};
use crate::status::Status;

/// Interval of the pulses while anything is unconfirmed.
const PULSE_INTERVAL: Duration = Duration::from_millis(50);

/// Sends the pulses of one link.
pub(super) struct Pulses {
    client: Client,
    window: Arc<Window>,
    /// Subject of all pulses, whose slot this holds.
    subject: Subject,
    _slot: ReplySlot,
}

/// Receiver of pulses.
struct PulseSink(Arc<Window>);

impl FrameSink for PulseSink {
    fn deliver(&self, message: Message) -> bool {
        let total = <[u8; 8]>::try_from(&*message.payload);
        total.is_ok_and(|total| {
            self.0.confirm(u64::from_be_bytes(total));
            true
        })
    }

    /// The link is lost, or NATS refuses the inbox: no pulse arrives.
    fn fail(&self, _status: &Status) {
        self.0.end_pulses();
    }

    fn refuse(&self, _status: &Status, _is_opening: bool) {
        tracing::debug!(
            "NATS does not let this user publish to its own inbox: a silent connection is noticed by its PINGs alone"
        );
        self.0.end_pulses();
    }
}

impl Pulses {
    /// Returns the pulses of a link; `None` where NATS refuses the inbox.
    pub(super) fn new(client: &Client, mux: &Arc<Mux>, window: &Arc<Window>) -> Option<Self> {
        let sink = Arc::new(PulseSink(Arc::clone(window)));
        let (slot, subject) = mux.reserve_for_pulses(sink).ok()?;
        Some(Self {
            client: client.clone(),
            window: Arc::clone(window),
            subject,
            _slot: slot,
        })
    }

    /// Sends a pulse if the queue of the client has room.
    pub(super) fn send(&self) {
        let Some(total) = self.window.begin_pulse() else {
            return;
        };
        let payload = Bytes::copy_from_slice(&total.to_be_bytes());
        let sending = self.client.publish(self.subject.clone(), payload);
        let cx = &mut Context::from_waker(Waker::noop());
        // Without room the next one comes soon.
        let _ = pin!(unconstrained(sending)).poll(cx);
    }
}

/// Sends pulses while anything is unconfirmed, and cancels `lost` once NATS has been silent for too long.
pub(super) async fn watch(pulses: Arc<Pulses>, limits: SilenceLimits, lost: CancellationToken) {
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
        let mut has_begun = false;
        tokio::select! {
            () = lost.cancelled() => return,
            () = window.begun(), if !is_busy => has_begun = true,
            () = tokio::time::sleep(step) => {}
        }
        let elapsed = last.elapsed();
        last += elapsed;
        silence.look(statistics.in_bytes.load(Ordering::Relaxed), elapsed, step);
        if has_begun {
            silence.restart();
        }
        let unconfirmed = window.unconfirmed();
        if silence.is_over(unconfirmed) {
            tracing::warn!(unconfirmed, "NATS sends nothing any more");
            return lost.cancel();
        }
        if unconfirmed > 0 {
            pulses.send();
        }
    }
}
