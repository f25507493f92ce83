//! `Channel`: a stream's machine behind a lock, with the wakers of those who wait for it.
//!
//! Four parties share one end of a stream: the inbox delivers frames (`frame_sink.rs`), the application reads
//! ([`MessageReader`](crate::stream::MessageReader)) and writes ([`Sender`](crate::stream::Sender) or a handler's reply
//! stream), and one task drives it (`driver.rs`).
//!
//! # Invariants
//!
//! - **Nothing waits under the lock.** It is held for a step of the machine and for encoding messages up to 1 KiB;
//!   wakers are called after it is released, since a waker may run any code.
//! - **The inbox never waits.** A slow application does not hold up other streams or calls of the connection; credit
//!   bounds what accumulates for it. That is the backpressure of a stream: a writer without credit waits in
//!   [`poll_writer`](Channel::poll_writer) until the reader at the other end has taken messages.
//! - **Every change wakes the parties that it concerns.** Each has one waker, so at most one task may read, write or
//!   drive at a time; any number may wait for the end. A change is followed by the `*_to_wake` of each party that the
//!   step may have made ready; a step that forgets one stalls the stream until its next PING.
//! - **Waiting is cancel safe.** A dropped future leaves a stale waker of its party, or none if it waits for the end;
//!   nothing is taken or written before `Ready`.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::credit::Credit;
use crate::stream::frame_writer::FrameWriter;
use crate::stream::machine::{Machine, dropped};
use crate::stream::output::OutboundFrame;
use crate::stream::receiving::MessageBatch;
use crate::sync::lock;

/// One end of one stream, shared by the application, the inbox and the task that drives it.
pub(crate) struct Channel {
    state: Mutex<State>,
    /// Notified of the end, and of a stop of the server: any number of tasks may wait for them.
    ends: Notify,
}

struct State {
    machine: Machine,
    /// Waits for messages, or for the stream to open.
    reader: Option<Waker>,
    /// Waits for room to write.
    writer: Option<Waker>,
    /// Waits for a frame to publish.
    driver: Option<Waker>,
}

/// Result of polling for messages.
pub(crate) enum ReadOutcome {
    /// The next messages.
    Batch(MessageBatch),
    /// The other direction is over, in order or not.
    End(Result<(), Status>),
}

impl Channel {
    /// Returns the shared form of a machine. Some task must then [`drive`](Self::drive) it.
    pub(crate) fn new(machine: Machine) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                machine,
                reader: None,
                writer: None,
                driver: None,
            }),
            ends: Notify::new(),
        })
    }

    /// Changes the machine, and wakes every party that the change may concern.
    pub(super) fn update<R>(&self, update: impl FnOnce(&mut Machine) -> R) -> R {
        let mut state = lock(&self.state);
        let was_opening = state.machine.is_opening();
        let was_stopping = state.machine.is_stopping();
        let result = update(&mut state.machine);
        // While the stream opens, the driver's timer is set to the open timeout. Afterwards it is due for the
        // next PING, which may be earlier, so the driver must look at its timer.
        let has_opened = was_opening && !state.machine.is_opening();
        let driver = match has_opened {
            true => state.driver.take(),
            false => state.driver_to_wake(),
        };
        let wakers = [state.reader_to_wake(), state.writer_to_wake(), driver];
        let has_begun_to_stop = !was_stopping && state.machine.is_stopping();
        let notifies = has_begun_to_stop || state.machine.end().is_some();
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        if notifies {
            self.ends.notify_waiters();
        }
        result
    }

    /// Reads from the machine.
    pub(crate) fn inspect<R>(&self, inspect: impl FnOnce(&Machine) -> R) -> R {
        inspect(&lock(&self.state).machine)
    }

    /// Returns the headers that the server sent before its first message; empty until they arrive.
    pub(crate) fn headers(&self) -> Metadata {
        self.inspect(|machine| machine.headers().cloned().unwrap_or_default())
    }

    /// Returns the trailers that the server sent with its end; empty until they arrive.
    pub(crate) fn trailers(&self) -> Metadata {
        self.inspect(|machine| machine.trailers().clone())
    }

    /// Returns the failure with which the stream has ended; `None` while it lasts, and if it has ended in order.
    pub(crate) fn failure(&self) -> Option<Status> {
        self.inspect(|machine| machine.end().and_then(|end| end.clone().err()))
    }

    /// Ends both directions with this status, and sends it to the peer.
    pub(crate) fn reset(&self, status: Status) {
        self.update(|machine| machine.reset(status));
    }

    /// Sends OPEN: the handler has returned its stream.
    pub(crate) fn open(&self, headers: Metadata) {
        self.update(|machine| machine.open(headers));
    }

    /// Ends the sending direction behind what is written.
    pub(crate) fn finish(&self, status: Option<Status>, trailers: Metadata) {
        self.update(|machine| machine.finish(status, trailers));
    }

    /// Discards the messages that the application does not want any more, now and later.
    pub(crate) fn stop_receiving(&self) {
        self.update(|machine| machine.receiving.stop_receiving());
    }

    /// Waits until `inspect` returns a result, which it must once the stream has ended. Uses the reader's waker, so
    /// it must not run beside a reader.
    pub(crate) async fn wait_until<R>(&self, mut inspect: impl FnMut(&Machine) -> Option<R>) -> R {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            match inspect(&state.machine) {
                Some(result) => Poll::Ready(result),
                None => {
                    store_waker(&mut state.reader, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Polls for the next messages. `taken` is the sum of those that the reader has used up since its last call; it
    /// counts even if this is pending.
    ///
    /// If the driver has something to send, usually a grant, the reader wakes it and yields once before it reads
    /// on. tokio keeps a task that another one woke on the same thread, behind it: the grant would leave only
    /// when there is nothing left to read, and by then the peer has stopped for it. Yielding gives 1.2 times the
    /// messages of 16 bytes (docs/PERFORMANCE.md, "Streams").
    pub(crate) fn poll_next_batch(
        &self,
        cx: &mut TaskContext<'_>,
        taken: Credit,
    ) -> Poll<ReadOutcome> {
        let mut state = lock(&self.state);
        state.machine.receiving.note_taken(taken);
        if let Some(driver) = state.driver_to_wake() {
            drop(state);
            driver.wake();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = state.take_batch();
        if outcome.is_none() {
            store_waker(&mut state.reader, cx);
        }
        outcome.map_or(Poll::Pending, Poll::Ready)
    }

    /// Writes one message once there is room for it.
    ///
    /// A caller encodes a large message before and passes it in `encoded`, which is taken when it is written; the
    /// lock is not held while it is encoded. A small one is encoded here, straight into the frame.
    ///
    /// # Errors
    ///
    /// The status with which the stream ended; `FAILED_PRECONDITION` after [`finish`](Self::finish).
    pub(crate) fn poll_send<M: prost::Message>(
        &self,
        cx: &mut TaskContext<'_>,
        message: &M,
        length: usize,
        encoded: &mut Option<Bytes>,
    ) -> Poll<Result<(), Status>> {
        let mut state = lock(&self.state);
        let machine = &mut state.machine;
        if let Some(status) = send_error(machine) {
            return Poll::Ready(Err(status));
        }
        if !machine.sending.has_room() {
            store_waker(&mut state.writer, cx);
            return Poll::Pending;
        }
        match encoded.take() {
            Some(bytes) => machine.sending.write_encoded(bytes),
            None => machine.sending.write(message, length),
        }
        let driver = state.driver_to_wake();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    /// Writes the only message of this end, which waits until the peer grants credit for it.
    pub(crate) fn write_only_message(&self, message: Bytes) {
        self.update(|machine| machine.sending.write_encoded(message));
    }

    /// Polls for a writer for the next messages; `None` once the stream has ended. [`submit`](Self::submit) it.
    pub(crate) fn poll_writer(&self, cx: &mut TaskContext<'_>) -> Poll<Option<FrameWriter>> {
        let mut state = lock(&self.state);
        if state.machine.end().is_some() {
            return Poll::Ready(None);
        }
        let writer = state.machine.sending.take_writer();
        if writer.is_none() {
            store_waker(&mut state.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(writer)
    }

    /// Sends the messages of a writer.
    pub(crate) fn submit(&self, writer: FrameWriter) {
        let mut state = lock(&self.state);
        state.machine.sending.submit(writer);
        let driver = state.driver_to_wake();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Waits for the end of the stream, in order or not.
    pub(crate) async fn ended(&self) {
        self.reached(|machine| machine.end().is_some()).await;
    }

    /// Waits until `is_reached`, which is looked at after the end and after a stop of the server. Any number of tasks
    /// may wait here.
    pub(super) async fn reached(&self, is_reached: impl Fn(&Machine) -> bool) {
        loop {
            let mut notified = pin!(self.ends.notified());
            // From here on nothing is missed.
            notified.as_mut().enable();
            if self.inspect(&is_reached) {
                return;
            }
            notified.await;
        }
    }

    /// Takes the next frame to publish; `None` if none is due. For the driver.
    pub(super) fn next_frame(&self) -> Option<OutboundFrame> {
        let mut state = lock(&self.state);
        let frame = state.machine.output(Instant::now());
        let writer = state.writer_to_wake();
        // A server's last frame ends the stream, also for a task that still reads its requests.
        let reader = match state.machine.is_done() {
            true => state.reader_to_wake(),
            false => None,
        };
        let has_ended = state.machine.end().is_some();
        drop(state);
        writer.into_iter().chain(reader).for_each(Waker::wake);
        if has_ended {
            self.ends.notify_waiters();
        }
        frame
    }

    /// Polls until a frame is due; `None` once both directions are over. For the driver, whose `timer` it sets.
    pub(super) fn poll_frame_due(
        &self,
        cx: &mut TaskContext<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
    ) -> Poll<Option<()>> {
        loop {
            let mut state = lock(&self.state);
            if state.machine.has_output() {
                return Poll::Ready(Some(()));
            }
            if state.machine.is_done() {
                return Poll::Ready(None);
            }
            store_waker(&mut state.driver, cx);
            let next = state.machine.next_time();
            drop(state);
            let Some(next) = next else {
                return Poll::Pending;
            };
            // The timer is set only for an earlier moment. A later one is the usual case, as each frame of the
            // peer defers the next PING: it then fires early and is set again, once in a heartbeat.
            let armed = timer.as_ref().as_pin_ref().map(|timer| timer.deadline());
            if armed.is_none_or(|armed| armed > next) {
                timer.set(Some(tokio::time::sleep_until(next)));
            }
            let Some(Poll::Ready(())) = timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx))
            else {
                return Poll::Pending;
            };
            timer.set(None);
            self.update(|machine| machine.on_time(Instant::now()));
        }
    }
}

impl State {
    fn take_batch(&mut self) -> Option<ReadOutcome> {
        if let Some(batch) = self.machine.receiving.next() {
            return Some(ReadOutcome::Batch(batch));
        }
        self.machine.reading_end().map(ReadOutcome::End)
    }

    /// Takes the reader's waker, whether or not there is something to read: it looks by itself.
    fn reader_to_wake(&mut self) -> Option<Waker> {
        self.reader.take()
    }

    fn writer_to_wake(&mut self) -> Option<Waker> {
        let is_due = self.machine.end().is_some() || self.machine.sending.has_room();
        is_due.then(|| self.writer.take()).flatten()
    }

    fn driver_to_wake(&mut self) -> Option<Waker> {
        let machine = &self.machine;
        let is_due = machine.is_done() || machine.has_output() || machine.awaits_late_accept();
        is_due.then(|| self.driver.take()).flatten()
    }
}

/// Stores the waker of a task that begins to wait, without a clone if it is stored already.
fn store_waker(waker: &mut Option<Waker>, cx: &TaskContext<'_>) {
    match waker {
        Some(known) if known.will_wake(cx.waker()) => {}
        _ => *waker = Some(cx.waker().clone()),
    }
}

/// Returns the error of sending on a stream that takes no more messages; `None` if it does.
fn send_error(machine: &Machine) -> Option<Status> {
    match machine.end() {
        Some(Err(status)) => Some(status.clone()),
        Some(Ok(())) => Some(dropped("the server has ended the call")),
        None if machine.sending.is_ending() => Some(Status::failed_precondition(
            "this direction of the stream is finished",
        )),
        None => None,
    }
}
