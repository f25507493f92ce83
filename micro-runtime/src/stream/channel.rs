//! A stream's machine behind a lock, with those who wait for it: reader, writer and driver.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use tokio::time::Sleep;

use crate::bus::FrameSink;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::machine::{Machine, dropped};
use crate::stream::options::Credit;
use crate::stream::output::OutboundFrame;
use crate::stream::receiving::MessageBatch;
use crate::stream::sending::FrameWriter;
use crate::sync::lock;
use crate::wire;

/// One end of one stream, shared by the application, the inbox and the task that drives it.
pub(crate) struct Channel(Mutex<State>);

struct State {
    machine: Machine,
    reader: Option<Waker>,
    writer: Option<Waker>,
    driver: Option<Waker>,
    /// Who waits for the end alone; there may be many.
    end_waiters: Vec<Waker>,
}

/// Messages that are ready to be taken, and how many.
pub(crate) enum ReadOutcome {
    Batch(MessageBatch),
    /// The other direction is over.
    End(Result<(), Status>),
}

impl Channel {
    pub(crate) fn new(machine: Machine) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            machine,
            reader: None,
            writer: None,
            driver: None,
            end_waiters: Vec::new(),
        })))
    }

    /// Changes the machine, and wakes whom that concerns.
    pub(super) fn update<R>(&self, update: impl FnOnce(&mut Machine) -> R) -> R {
        let mut state = lock(&self.0);
        let was_opening = state.machine.is_opening();
        let result = update(&mut state.machine);
        // The driver waits for the peer's first word; what it waits for next may come sooner.
        let has_opened = was_opening && !state.machine.is_opening();
        let driver = match has_opened {
            true => state.driver.take(),
            false => state.driver_to_wake(),
        };
        let wakers = [state.reader_to_wake(), state.writer_to_wake(), driver];
        let end_waiters = state.end_waiters_to_wake();
        drop(state);
        wakers
            .into_iter()
            .flatten()
            .chain(end_waiters)
            .for_each(Waker::wake);
        result
    }

    /// Looks at the machine.
    pub(crate) fn inspect<R>(&self, inspect: impl FnOnce(&Machine) -> R) -> R {
        inspect(&lock(&self.0).machine)
    }

    /// What the server sent before its first message.
    pub(crate) fn headers(&self) -> Metadata {
        self.inspect(|machine| machine.headers().cloned().unwrap_or_default())
    }

    /// What the server sent after its last message.
    pub(crate) fn trailers(&self) -> Metadata {
        self.inspect(|machine| machine.trailers().clone())
    }

    /// Ends both directions, and tells the peer.
    pub(crate) fn reset(&self, status: Status) {
        self.update(|machine| machine.reset(status));
    }

    /// The handler has returned its stream.
    pub(crate) fn open(&self, headers: Metadata) {
        self.update(|machine| machine.open(headers));
    }

    /// Ends the sending direction after what is written.
    pub(crate) fn finish(&self, status: Option<Status>, trailers: Metadata) {
        self.update(|machine| machine.finish(status, trailers));
    }

    /// The application wants no more messages.
    pub(crate) fn stop_receiving(&self) {
        self.update(|machine| machine.receiving.stop_receiving());
    }

    /// Waits until `look` sees what it waits for; ends when the stream does.
    pub(crate) async fn wait_until<R>(&self, mut look: impl FnMut(&Machine) -> Option<R>) -> R {
        poll_fn(|cx| {
            let mut state = lock(&self.0);
            match look(&state.machine) {
                Some(result) => Poll::Ready(result),
                None => {
                    store_waker(&mut state.reader, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Gives the next messages out; `taken` are those that were lent out before and are used up.
    pub(crate) fn poll_next_batch(
        &self,
        cx: &mut TaskContext<'_>,
        taken: Credit,
    ) -> Poll<ReadOutcome> {
        let mut state = lock(&self.0);
        state.machine.receiving.note_taken(taken);
        if let Some(driver) = state.driver_to_wake() {
            // The peer is to hear of what was taken before it has to stop; the driver, which was
            // woken here, would run after all that there is to read.
            drop(state);
            driver.wake();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taking = state.take();
        if taking.is_none() {
            store_waker(&mut state.reader, cx);
        }
        taking.map_or(Poll::Pending, Poll::Ready)
    }

    /// Writes one message once there is room for it: a small one where it goes, a larger one that is
    /// encoded already, so that nobody waits for the encoder.
    pub(crate) fn poll_send<M: prost::Message>(
        &self,
        cx: &mut TaskContext<'_>,
        message: &M,
        length: usize,
        encoded: &mut Option<Bytes>,
    ) -> Poll<Result<(), Status>> {
        let mut state = lock(&self.0);
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

    /// Writes the only message of this end, to be sent when the peer takes it.
    pub(crate) fn write_only_message(&self, message: Bytes) {
        self.update(|machine| machine.sending.write_encoded(message));
    }

    /// Waits until messages may be written, and takes the place to write them; `None` once the
    /// stream has ended.
    pub(crate) fn poll_writer(&self, cx: &mut TaskContext<'_>) -> Poll<Option<FrameWriter>> {
        let mut state = lock(&self.0);
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

    /// Brings written messages back, to be sent.
    pub(crate) fn submit(&self, writer: FrameWriter) {
        let mut state = lock(&self.0);
        state.machine.sending.submit(writer);
        let driver = state.driver_to_wake();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Waits until the stream has ended, however.
    pub(crate) fn poll_ended(&self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        let mut state = lock(&self.0);
        match state.machine.end() {
            Some(end) => Poll::Ready(end.clone()),
            None => {
                if !state
                    .end_waiters
                    .iter()
                    .any(|known| known.will_wake(cx.waker()))
                {
                    state.end_waiters.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    pub(super) fn next_frame(&self) -> Option<OutboundFrame> {
        let mut state = lock(&self.0);
        let output = state.machine.output(Instant::now());
        let writer = state.writer_to_wake();
        // At the server the last frame ends the stream, also for who reads on.
        let reader = match state.machine.is_done() {
            true => state.reader_to_wake(),
            false => None,
        };
        drop(state);
        writer.into_iter().chain(reader).for_each(Waker::wake);
        output
    }

    /// Waits for something to publish; `None` once both directions are over.
    pub(super) fn poll_frame_due(
        &self,
        cx: &mut TaskContext<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
    ) -> Poll<Option<()>> {
        loop {
            let mut state = lock(&self.0);
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
            // Set back only if something comes earlier: most times move on before they come.
            let armed = timer.as_ref().as_pin_ref().map(|timer| timer.deadline());
            if armed.is_none_or(|armed| armed > next.into()) {
                timer.set(Some(tokio::time::sleep_until(next.into())));
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
    fn take(&mut self) -> Option<ReadOutcome> {
        if let Some(batch) = self.machine.receiving.next() {
            return Some(ReadOutcome::Batch(batch));
        }
        self.machine.reading_end().map(ReadOutcome::End)
    }

    fn reader_to_wake(&mut self) -> Option<Waker> {
        self.reader.take()
    }

    fn writer_to_wake(&mut self) -> Option<Waker> {
        let is_due = self.machine.end().is_some() || self.machine.sending.has_room();
        is_due.then(|| self.writer.take()).flatten()
    }

    fn end_waiters_to_wake(&mut self) -> Vec<Waker> {
        match self.machine.end() {
            Some(_) => std::mem::take(&mut self.end_waiters),
            None => Vec::new(),
        }
    }

    fn driver_to_wake(&mut self) -> Option<Waker> {
        let is_due = self.machine.is_done() || self.machine.has_output();
        is_due.then(|| self.driver.take()).flatten()
    }
}

impl FrameSink for Channel {
    fn deliver(&self, message: Message) {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return self.update(Machine::on_no_responders);
        }
        if let Some(headers) = &message.headers
            && let Some(status) = wire::decode_status(headers, &message.payload)
        {
            let trailers = wire::decode_metadata(headers).unwrap_or_default();
            return self.update(|machine| machine.on_refused(status, trailers));
        }
        if let Err(status) = wire::check_not_jetstream(&message.payload) {
            return self.update(|machine| machine.fail(status));
        }
        self.update(|machine| machine.receive(message.payload, Instant::now()));
    }

    fn fail(&self, status: &Status) {
        self.update(|machine| machine.fail(status.clone()));
    }
}

fn store_waker(waker: &mut Option<Waker>, cx: &TaskContext<'_>) {
    match waker {
        Some(known) if known.will_wake(cx.waker()) => {}
        _ => *waker = Some(cx.waker().clone()),
    }
}

/// Why no more can be sent.
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
