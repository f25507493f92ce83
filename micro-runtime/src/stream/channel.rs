//! A stream's machine behind a lock, with those who wait for it: reader, writer and driver.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use tokio::time::Sleep;

use crate::bus::Sink;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::machine::{Machine, dropped};
use crate::stream::options::Credit;
use crate::stream::output::Output;
use crate::stream::receiving::Batch;
use crate::stream::sending::Writing;
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
    closers: Vec<Waker>,
}

/// Messages that are ready to be taken, and how many.
pub(crate) enum Taking {
    Batch(Batch),
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
            closers: Vec::new(),
        })))
    }

    /// Changes the machine, and wakes whom that concerns.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Machine) -> R) -> R {
        let mut state = lock(&self.0);
        let was_opening = state.machine.is_opening();
        let result = change(&mut state.machine);
        // The driver waits for the peer's first word; what it waits for next may come sooner.
        let has_opened = was_opening && !state.machine.is_opening();
        let driver = match has_opened {
            true => state.driver.take(),
            false => state.driver_to_wake(),
        };
        let wakers = [state.reader_to_wake(), state.writer_to_wake(), driver];
        let closers = state.closers_to_wake();
        drop(state);
        wakers
            .into_iter()
            .flatten()
            .chain(closers)
            .for_each(Waker::wake);
        result
    }

    /// Looks at the machine.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Machine) -> R) -> R {
        look(&lock(&self.0).machine)
    }

    /// What the server sent before its first message.
    pub(crate) fn headers(&self) -> Metadata {
        self.with(|machine| machine.headers().cloned().unwrap_or_default())
    }

    /// What the server sent after its last message.
    pub(crate) fn trailers(&self) -> Metadata {
        self.with(|machine| machine.trailers().clone())
    }

    /// Ends both directions, and tells the peer.
    pub(crate) fn reset(&self, status: Status) {
        self.change(|machine| machine.reset(status));
    }

    /// The handler has returned its stream.
    pub(crate) fn open(&self, headers: Metadata) {
        self.change(|machine| machine.open(headers));
    }

    /// Ends the sending direction after what is written.
    pub(crate) fn finish(&self, status: Option<Status>, trailers: Metadata) {
        self.change(|machine| machine.finish(status, trailers));
    }

    /// The application wants no more messages.
    pub(crate) fn stop_receiving(&self) {
        self.change(|machine| machine.receiving.stop_receiving());
    }

    /// Waits until `look` sees what it waits for; ends when the stream does.
    pub(crate) async fn until<R>(&self, mut look: impl FnMut(&Machine) -> Option<R>) -> R {
        poll_fn(|cx| {
            let mut state = lock(&self.0);
            match look(&state.machine) {
                Some(result) => Poll::Ready(result),
                None => {
                    remember(&mut state.reader, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Gives the next messages out; `taken` are those that were given out before and are used up.
    pub(crate) fn poll_take(&self, cx: &mut TaskContext<'_>, taken: Credit) -> Poll<Taking> {
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
            remember(&mut state.reader, cx);
        }
        taking.map_or(Poll::Pending, Poll::Ready)
    }

    /// Writes one message once there is room for it: a small one where it goes, a larger one that is
    /// encoded already, so that nobody waits for the encoder.
    pub(crate) fn poll_put<M: prost::Message>(
        &self,
        cx: &mut TaskContext<'_>,
        message: &M,
        length: usize,
        encoded: &mut Option<Bytes>,
    ) -> Poll<Result<(), Status>> {
        let mut state = lock(&self.0);
        let machine = &mut state.machine;
        if let Some(status) = ended(machine) {
            return Poll::Ready(Err(status));
        }
        if !machine.sending.has_room() {
            remember(&mut state.writer, cx);
            return Poll::Pending;
        }
        match encoded.take() {
            Some(bytes) => machine.sending.put_owned(bytes),
            None => machine.sending.put(message, length),
        }
        let driver = state.driver_to_wake();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    /// Writes the only message of this end, to be sent when the peer takes it.
    pub(crate) fn put_whole(&self, message: Bytes) {
        self.change(|machine| machine.sending.put_owned(message));
    }

    /// Waits until messages may be written, and takes the place to write them; `None` once the
    /// stream has ended.
    pub(crate) fn poll_begin(&self, cx: &mut TaskContext<'_>) -> Poll<Option<Writing>> {
        let mut state = lock(&self.0);
        if state.machine.end().is_some() {
            return Poll::Ready(None);
        }
        let writing = state.machine.sending.begin();
        if writing.is_none() {
            remember(&mut state.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(writing)
    }

    /// Brings written messages back, to be sent.
    pub(crate) fn add(&self, writing: Writing) {
        let mut state = lock(&self.0);
        state.machine.sending.add(writing);
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
                    .closers
                    .iter()
                    .any(|known| known.will_wake(cx.waker()))
                {
                    state.closers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    pub(super) fn output(&self) -> Option<Output> {
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
    pub(super) fn poll_work(
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
            remember(&mut state.driver, cx);
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
            self.change(|machine| machine.on_time(Instant::now()));
        }
    }
}

impl State {
    fn take(&mut self) -> Option<Taking> {
        if let Some(batch) = self.machine.receiving.next() {
            return Some(Taking::Batch(batch));
        }
        self.machine.reading_end().map(Taking::End)
    }

    fn reader_to_wake(&mut self) -> Option<Waker> {
        self.reader.take()
    }

    fn writer_to_wake(&mut self) -> Option<Waker> {
        let is_due = self.machine.end().is_some() || self.machine.sending.has_room();
        is_due.then(|| self.writer.take()).flatten()
    }

    fn closers_to_wake(&mut self) -> Vec<Waker> {
        match self.machine.end() {
            Some(_) => std::mem::take(&mut self.closers),
            None => Vec::new(),
        }
    }

    fn driver_to_wake(&mut self) -> Option<Waker> {
        let is_due = self.machine.is_done() || self.machine.has_output();
        is_due.then(|| self.driver.take()).flatten()
    }
}

impl Sink for Channel {
    fn deliver(&self, message: Message) {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return self.change(Machine::nobody_there);
        }
        if let Some(headers) = &message.headers
            && let Some(status) = wire::decode_status(headers, &message.payload)
        {
            let trailers = wire::decode_metadata(headers).unwrap_or_default();
            return self.change(|machine| machine.refused(status, trailers));
        }
        if let Err(status) = wire::check_not_jetstream(&message.payload) {
            return self.change(|machine| machine.fail(status));
        }
        self.change(|machine| machine.receive(message.payload, Instant::now()));
    }

    fn fail(&self, status: &Status) {
        self.change(|machine| machine.fail(status.clone()));
    }
}

fn remember(waker: &mut Option<Waker>, cx: &TaskContext<'_>) {
    match waker {
        Some(known) if known.will_wake(cx.waker()) => {}
        _ => *waker = Some(cx.waker().clone()),
    }
}

/// Why no more can be sent.
fn ended(machine: &Machine) -> Option<Status> {
    match machine.end() {
        Some(Err(status)) => Some(status.clone()),
        Some(Ok(())) => Some(dropped("the server has ended the call")),
        None if machine.sending.is_ending() => Some(Status::failed_precondition(
            "this direction of the stream is finished",
        )),
        None => None,
    }
}
