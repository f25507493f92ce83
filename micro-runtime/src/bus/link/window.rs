//! `Window`: what was handed to NATS on one link and is not confirmed yet.
//!
//! NATS confirms no message. But it processes the messages of a connection in order, so that a message to the own
//! inbox, a pulse, proves by its arrival that all before it were processed. Three things rest on that:
//!
//! - **Room.** Requests wait here, and not in a queue that nobody can take them back from, while so many bytes are
//!   unconfirmed ([`MAX_UNCONFIRMED`]): a NATS that is frozen gets one window of requests that may run late, no more.
//! - **Bulk.** Large messages that are no requests wait here while calls would wait behind them (`bulk_window`).
//! - **Silence.** While anything is unconfirmed, NATS has a reason to send something. A link that only reads has
//!   nothing by itself, so that a pulse goes out each second while something comes (`pulse::watch`).
//!
//! Without the permission to publish to the own inbox there are no pulses: then nothing counts as unconfirmed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::bus::link::bulk_window::BulkWindow;

/// Maximum number of bytes that are unconfirmed; further requests wait.
const MAX_UNCONFIRMED: u64 = 256 * 1024;
/// Number of bytes after which a pulse is due.
const PULSE_BYTES: u64 = MAX_UNCONFIRMED / 4;
/// Bytes that a message costs besides its payload and headers, about: its command and its subjects.
const MESSAGE_OVERHEAD: u64 = 64;

/// Counts of bytes since the link was made.
pub(super) struct Window {
    handed_over: AtomicU64,
    confirmed: AtomicU64,
    /// Value of `handed_over` at the last pulse.
    pulsed: AtomicU64,
    /// Whether everything is confirmed, so that nobody looks.
    is_idle: AtomicBool,
    has_pulses: AtomicBool,
    pub(super) bulk: BulkWindow,
    /// Told by the first message after idleness.
    begun: Notify,
    /// Told at each confirmation, and once there are no pulses.
    room: Notify,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            handed_over: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            pulsed: AtomicU64::new(0),
            is_idle: AtomicBool::new(true),
            has_pulses: AtomicBool::new(true),
            bulk: BulkWindow::new(),
            begun: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Counts a message with this length of payload and headers as handed over; returns whether a pulse is due.
    #[inline]
    pub(super) fn add(&self, length: usize) -> bool {
        let length = length as u64 + MESSAGE_OVERHEAD;
        let total = self.handed_over.fetch_add(length, Ordering::SeqCst) + length;
        if self.is_idle.load(Ordering::SeqCst) {
            self.begin();
        }
        // A pulse of another task may be ahead of this message.
        total.saturating_sub(self.pulsed.load(Ordering::Relaxed)) >= PULSE_BYTES
            && self.has_pulses.load(Ordering::Relaxed)
    }

    #[cold]
    fn begin(&self) {
        if self.is_idle.swap(false, Ordering::SeqCst) {
            self.begun.notify_one();
        }
    }

    /// Returns the number of bytes that are not confirmed; 0 without pulses.
    #[inline]
    pub(super) fn unconfirmed(&self) -> u64 {
        if !self.has_pulses.load(Ordering::Relaxed) {
            return 0;
        }
        let confirmed = self.confirmed.load(Ordering::SeqCst);
        self.handed_over
            .load(Ordering::SeqCst)
            .saturating_sub(confirmed)
    }

    /// Returns the number of bytes that were confirmed so far.
    pub(super) fn confirmed_bytes(&self) -> u64 {
        self.confirmed.load(Ordering::SeqCst)
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.unconfirmed() < MAX_UNCONFIRMED
    }

    /// Returns whether a large message without a reply subject may be handed over.
    #[inline]
    pub(super) fn has_bulk_room(&self) -> bool {
        self.unconfirmed() < self.bulk.limit()
    }

    /// Returns once a large message without a reply subject may be handed over. Cancel safe.
    pub(super) async fn bulk_room(&self) {
        self.told_of_room(Self::has_bulk_room).await;
    }

    /// Returns the number of bytes until there is no room.
    pub(super) fn left(&self) -> usize {
        usize::try_from(MAX_UNCONFIRMED.saturating_sub(self.unconfirmed())).unwrap_or(usize::MAX)
    }

    /// Returns once a request may be handed over. Cancel safe.
    pub(super) async fn room(&self) {
        self.told_of_room(Self::has_room).await;
    }

    async fn told_of_room(&self, has_room: impl Fn(&Self) -> bool) {
        while !has_room(self) {
            let mut told = std::pin::pin!(self.room.notified());
            told.as_mut().enable();
            if !has_room(self) {
                told.await;
            }
        }
    }

    /// Returns once everything that was handed over before is confirmed; `false` without pulses. Cancel safe.
    pub(super) async fn confirmed(&self) -> bool {
        let total = self.handed_over.load(Ordering::SeqCst);
        loop {
            let mut told = std::pin::pin!(self.room.notified());
            told.as_mut().enable();
            if !self.has_pulses.load(Ordering::Relaxed) {
                return false;
            }
            if self.confirmed.load(Ordering::SeqCst) >= total {
                return true;
            }
            told.await;
        }
    }

    /// Begins a pulse: returns what its arrival confirms. `None` without pulses.
    pub(super) fn begin_pulse(&self) -> Option<u64> {
        if !self.has_pulses.load(Ordering::Relaxed) {
            return None;
        }
        let total = self.handed_over.load(Ordering::SeqCst);
        self.pulsed.fetch_max(total, Ordering::Relaxed);
        Some(total)
    }

    /// Notes the arrival of a pulse.
    pub(super) fn confirm(&self, total: u64) {
        self.confirmed.fetch_max(total, Ordering::SeqCst);
        self.room.notify_waiters();
    }

    /// Notes that NATS takes no pulses.
    pub(super) fn end_pulses(&self) {
        self.has_pulses.store(false, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// Returns once a message was handed over since everything was confirmed. Cancel safe.
    pub(super) async fn begun(&self) {
        loop {
            self.is_idle.store(true, Ordering::SeqCst);
            if self.unconfirmed() > 0 {
                self.is_idle.store(false, Ordering::SeqCst);
                return;
            }
            // It may have been told of a message that is confirmed by now.
            self.begun.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Hands over messages until a pulse is due.
    fn fill(window: &Window) -> u64 {
        while !window.add(936) {}
        window.begin_pulse().unwrap()
    }

    #[test]
    fn requests_wait_while_a_window_of_bytes_is_unconfirmed() {
        let window = Window::new();
        let pulses = [(); 4].map(|()| fill(&window));
        assert!(window.room().now_or_never().is_none());
        window.confirm(pulses[1]);
        assert!(window.room().now_or_never().is_some());
        // Those behind a pulse are not confirmed by it, nor is anything by one that comes late.
        window.confirm(pulses[0]);
        let left = window.unconfirmed();
        assert!((PULSE_BYTES * 2..MAX_UNCONFIRMED).contains(&left), "{left}");
        window.confirm(pulses[3]);
        assert_eq!(window.unconfirmed(), 0);
    }

    #[tokio::test]
    async fn those_who_wait_are_told_of_room_and_of_the_end_of_pulses() {
        for ends in [true, false] {
            let window = Window::new();
            let pulses = [(); 5].map(|()| fill(&window));
            let mut waiting = std::pin::pin!(window.room());
            assert!(waiting.as_mut().now_or_never().is_none());
            match ends {
                true => window.end_pulses(),
                false => window.confirm(pulses[4]),
            }
            waiting.await;
        }
    }

    #[test]
    fn nothing_is_unconfirmed_without_pulses() {
        let window = Window::new();
        window.end_pulses();
        while window.handed_over.load(Ordering::SeqCst) < 2 * MAX_UNCONFIRMED {
            assert!(!window.add(1000), "a pulse is due");
        }
        assert_eq!(window.unconfirmed(), 0);
        assert_eq!(window.begin_pulse(), None);
    }

    #[test]
    fn the_first_message_after_idleness_is_told_of() {
        let window = Window::new();
        assert!(window.begun().now_or_never().is_none());
        window.add(1);
        assert!(window.begun().now_or_never().is_some());
        let total = window.begin_pulse().unwrap();
        window.confirm(total);
        assert!(window.begun().now_or_never().is_none());
    }
}
