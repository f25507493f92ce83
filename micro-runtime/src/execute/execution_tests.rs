//! Shows what an `Execution` does with a handler at each of its ends.
//!
//! Deadlines of these tests have passed before the handler is first polled, and servers have stopped by
//! then, so that no test waits for a clock.

mod scripted_handler;

use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::scripted_handler::{JournalObserver, ScriptedHandler, Step};
use crate::context::{Context, ContextHeaders, Origin};
use crate::execute::completion::{Completion, DeadlinePolicy};
use crate::execute::execution::Execution;
use crate::execute::poll_cost::PollCost;
use crate::execute::span_journal::Journal;
use crate::status::{Code, Reason, Status};

/// An execution, its journal and the context of its handler.
struct Fixture {
    execution: Execution<ScriptedHandler, JournalObserver>,
    journal: Journal,
    ctx: Context,
}

impl Fixture {
    fn new<const N: usize>(steps: [Step; N]) -> Self {
        Self::with(steps, None, false)
    }

    /// A handler whose deadline has passed.
    fn expired<const N: usize>(steps: [Step; N]) -> Self {
        Self::with(steps, passed_deadline(), false)
    }

    fn with<const N: usize>(
        steps: [Step; N],
        deadline: Option<Instant>,
        panics_when_dropped: bool,
    ) -> Self {
        let journal = Journal::default();
        let origin = Origin {
            event: None,
            subject: "test".into(),
            prefix: 0,
        };
        let ctx = Context::of_event(origin, ContextHeaders::default(), deadline, None, None);
        let handler = ScriptedHandler {
            journal: journal.clone(),
            steps: Vec::from(steps).into_iter(),
            is_cleared: false,
            panics_when_dropped,
            ctx: ctx.clone(),
        };
        let observer = JournalObserver {
            journal: journal.clone(),
            span: tracing::info_span!("test"),
        };
        Self {
            execution: Execution::new(ctx.clone(), handler, observer),
            journal,
            ctx,
        }
    }

    /// Lets the handler note its steps in the journal of the spans, which shows what lies between.
    fn noting_steps_in(self, journal: &Journal) -> Self {
        let journal = journal.clone();
        let execution = self.execution.map(
            |handler| ScriptedHandler { journal, ..handler },
            JournalObserver::take,
        );
        Self { execution, ..self }
    }

    fn poll(&mut self) -> Poll<Result<i32, Code>> {
        let polled = self.execution.poll_once(None);
        polled.map_err(|status| status.code())
    }

    /// Runs the handler for a server that goes on.
    async fn run(&mut self, at_deadline: DeadlinePolicy) -> Completion<i32> {
        let stop = CancellationToken::new();
        self.execution.run(None, &stop, at_deadline).await
    }

    /// Runs the handler for a server whose grace period is over.
    async fn run_stopped(&mut self) -> Completion<i32> {
        let stop = CancellationToken::new();
        stop.cancel();
        self.execution.run(None, &stop, DeadlinePolicy::Drop).await
    }
}

/// A deadline before the start of the runtime, whose timers are ready at once for it.
fn passed_deadline() -> Option<Instant> {
    Instant::now().checked_sub(Duration::from_secs(1))
}

#[test]
fn a_panic_in_a_poll_is_a_status_and_drops_the_handler() {
    let mut fixture = Fixture::new([Step::Wait, Step::Panic]);
    assert_eq!(fixture.poll(), Poll::Pending);
    assert_eq!(fixture.poll(), Poll::Ready(Err(Code::Internal)));
    let steps = ["polled", "polled", "panicked in a poll", "dropped"];
    assert_eq!(fixture.journal.take(), steps);
    assert_eq!(fixture.poll(), Poll::Pending, "it is polled no more");
    drop(fixture.execution);
    assert_eq!(fixture.journal.take(), [""; 0], "it is dropped once");
}

#[test]
fn a_destructor_that_panics_after_a_panic_is_reported_too() {
    let mut fixture = Fixture::with([Step::Panic], None, true);
    assert_eq!(fixture.poll(), Poll::Ready(Err(Code::Internal)));
    let steps = [
        "polled",
        "panicked in a poll",
        "dropped",
        "panicked in a destructor",
    ];
    assert_eq!(fixture.journal.take(), steps);
}

#[tokio::test]
async fn a_destructor_that_panics_at_the_deadline_leaves_the_outcome() {
    let mut fixture = Fixture::with([Step::Wait], passed_deadline(), true);
    let completion = fixture.run(DeadlinePolicy::Drop).await;
    let status = completion.into_result("test.Scripted", None).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let steps = ["polled", "dropped", "panicked in a destructor"];
    assert_eq!(fixture.journal.take(), steps);
}

#[tokio::test]
async fn a_destructor_that_panics_at_the_stop_leaves_the_outcome() {
    let mut fixture = Fixture::with([Step::Wait], None, true);
    let completion = fixture.run_stopped().await;
    let status = completion.into_result("test.Scripted", None).unwrap_err();
    assert_eq!(status.reason(), Some(Reason::ShuttingDown));
    let steps = ["polled", "dropped", "panicked in a destructor"];
    assert_eq!(fixture.journal.take(), steps);
}

#[test]
fn a_destructor_that_panics_in_an_aborted_execution_ends_nothing_else() {
    let fixture = Fixture::with([], None, true);
    drop(fixture.execution);
    let steps = ["dropped", "panicked in a destructor"];
    assert_eq!(fixture.journal.take(), steps);
    assert!(fixture.ctx.is_ended());
}

#[tokio::test]
async fn a_handler_is_dropped_before_its_outcome_is_known() {
    let mut fixture = Fixture::new([Step::Return(7)]);
    let completion = fixture.run(DeadlinePolicy::Drop).await;
    assert!(matches!(completion, Completion::Returned(Ok(7))));
    assert_eq!(fixture.journal.take(), ["polled", "dropped"]);
}

#[tokio::test]
async fn a_handler_that_is_ready_returns_after_its_deadline_and_after_the_stop() {
    let mut fixture = Fixture::expired([Step::Return(7)]);
    let completion = fixture.run_stopped().await;
    assert!(matches!(completion, Completion::Returned(Ok(7))));
}

#[tokio::test]
async fn the_deadline_comes_before_the_stop() {
    let mut fixture = Fixture::expired([Step::Wait]);
    let completion = fixture.run_stopped().await;
    assert!(matches!(completion, Completion::DeadlinePassed));
}

#[tokio::test]
async fn a_detached_handler_goes_on_after_its_deadline() {
    let mut fixture = Fixture::expired([Step::Wait, Step::Wait, Step::Return(7)]);
    let completion = fixture.run(DeadlinePolicy::Detach).await;
    assert!(matches!(completion, Completion::DeadlinePassed));
    assert!(!fixture.ctx.is_ended());
    assert_eq!(fixture.poll(), Poll::Pending);
    assert_eq!(fixture.poll(), Poll::Ready(Ok(7)));
    assert_eq!(fixture.journal.take(), ["polled"; 3]);
}

#[tokio::test]
async fn a_detached_handler_is_dropped_when_its_server_stops() {
    let mut fixture = Fixture::new([Step::Wait]);
    let stop = CancellationToken::new();
    stop.cancel();
    let run = fixture.execution.run(None, &stop, DeadlinePolicy::Detach);
    assert!(matches!(run.await, Completion::Stopped));
    assert_eq!(fixture.journal.take(), ["polled", "dropped"]);
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_the_handler_to_the_next() {
    let mut fixture = Fixture::new([Step::Wait, Step::Return(7)]);
    {
        let mut run = std::pin::pin!(fixture.run(DeadlinePolicy::Drop));
        let cx = &mut TaskContext::from_waker(Waker::noop());
        assert!(run.as_mut().poll(cx).is_pending());
    }
    assert_eq!(fixture.journal.take(), ["polled"]);
    let completion = fixture.run(DeadlinePolicy::Drop).await;
    assert!(matches!(completion, Completion::Returned(Ok(7))));
}

#[test]
fn the_first_poll_is_timed_and_no_other() {
    let cost = PollCost::new();
    let mut fixture = Fixture::new([Step::Wait, Step::Wait, Step::Return(7)]);
    assert!(fixture.execution.poll_once(Some(&cost)).is_pending());
    let first = cost.longest();
    assert!(first.is_some());
    assert!(fixture.execution.poll_once(Some(&cost)).is_pending());
    assert!(fixture.execution.poll_once(Some(&cost)).is_ready());
    assert_eq!(cost.longest(), first);
}

#[test]
fn a_second_poll_is_not_timed_in_place_of_the_first() {
    let cost = PollCost::new();
    let mut fixture = Fixture::new([Step::Wait, Step::Return(7)]);
    assert!(fixture.execution.poll_once(None).is_pending());
    assert!(fixture.execution.poll_once(Some(&cost)).is_ready());
    assert_eq!(cost.longest(), None);
}

#[test]
fn a_first_poll_that_panics_is_timed() {
    let cost = PollCost::new();
    let mut fixture = Fixture::new([Step::Panic]);
    assert!(fixture.execution.poll_once(Some(&cost)).is_ready());
    assert!(cost.longest().is_some());
}

#[test]
fn the_context_ends_with_the_execution_and_after_the_handler() {
    let fixture = Fixture::new([]);
    assert!(!fixture.ctx.is_ended());
    drop(fixture.execution);
    assert!(fixture.ctx.is_ended());
    assert_eq!(fixture.journal.take(), ["dropped"]);
}

#[tokio::test]
async fn the_context_is_active_until_the_execution_is_dropped() {
    let mut fixture = Fixture::expired([Step::Wait]);
    fixture.run(DeadlinePolicy::Drop).await;
    assert!(!fixture.ctx.is_ended(), "the reply has not been sent yet");
    drop(fixture.execution);
    assert!(fixture.ctx.is_ended());
}

#[test]
fn a_context_that_is_taken_out_has_ended() {
    let mut fixture = Fixture::new([]);
    let ctx = fixture.execution.end().unwrap();
    assert!(ctx.is_ended());
    assert_eq!(fixture.journal.take(), ["dropped"]);
}

#[test]
fn the_handler_is_polled_and_dropped_within_the_span() {
    let (journal, _guard) = Journal::of_spans();
    let mut fixture = Fixture::new([Step::Wait, Step::Panic]).noting_steps_in(&journal);
    assert_eq!(fixture.poll(), Poll::Pending);
    assert_eq!(journal.take(), ["entered", "polled", "left"]);
    assert_eq!(fixture.poll(), Poll::Ready(Err(Code::Internal)));
    let steps = [
        "entered", "polled", "left", "entered", "left", "entered", "dropped", "left",
    ];
    assert_eq!(journal.take(), steps);
    assert_eq!(fixture.journal.take(), ["panicked in a poll"]);
}

#[test]
fn an_execution_that_is_dropped_midway_drops_its_handler_within_the_span() {
    let (journal, _guard) = Journal::of_spans();
    let mut fixture = Fixture::new([Step::Wait]).noting_steps_in(&journal);
    assert_eq!(fixture.poll(), Poll::Pending);
    assert_eq!(journal.take(), ["entered", "polled", "left"]);
    drop(fixture.execution);
    assert_eq!(journal.take(), ["entered", "dropped", "left"]);
    assert!(fixture.ctx.is_ended());
}

#[test]
fn only_the_first_outcome_is_recorded() {
    let mut fixture = Fixture::new([]);
    fixture.execution.record(None);
    fixture
        .execution
        .record(Some(&Status::not_found("no account")));
    assert_eq!(fixture.journal.take(), ["recorded OK"]);
}

#[test]
fn a_suspended_handler_goes_on_where_it_was() {
    let mut fixture = Fixture::new([Step::Wait, Step::Return(7)]);
    let cost = PollCost::new();
    assert_eq!(fixture.poll(), Poll::Pending);
    fixture.execution.record(None);
    let mut suspended = fixture
        .execution
        .map(|handler| handler, JournalObserver::take);
    let polled = suspended.poll_once(Some(&cost));
    assert!(matches!(polled, Poll::Ready(Ok(7))));
    suspended.record(None);
    assert_eq!(cost.longest(), None, "its first poll is over");
    let steps = ["polled", "recorded OK", "polled"];
    assert_eq!(fixture.journal.take(), steps);
    assert!(!fixture.ctx.is_ended());
}
