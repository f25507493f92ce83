//! Tests of markers against a NATS that is played: which error ends which marker, whatever else comes.

use std::sync::Mutex;

use tokio::sync::mpsc;

use super::*;
use crate::bus::Bus;
use crate::sync::lock;

/// Outcome of a marker; `None` while it is under way.
type Outcome = Mutex<Option<Result<(), Error>>>;

/// A sender that only notes what it is given.
struct Noting {
    sent: mpsc::UnboundedSender<(MarkerKind, Names)>,
    is_away: Arc<AtomicBool>,
}

impl MarkerSender for Noting {
    fn is_connected(&self) -> bool {
        !self.is_away.load(Ordering::Relaxed)
    }

    async fn send(&self, kind: MarkerKind, names: &Names) -> Result<(), Error> {
        let _ = self.sent.send((kind, names.clone()));
        Ok(())
    }
}

/// Markers, and what they send.
struct Played {
    markers: Arc<Markers>,
    refusals: Arc<Refusals>,
    is_away: Arc<AtomicBool>,
    sender: mpsc::UnboundedSender<(MarkerKind, Names)>,
    sent: mpsc::UnboundedReceiver<(MarkerKind, Names)>,
}

impl Played {
    fn new() -> Self {
        let (sender, sent) = mpsc::unbounded_channel();
        Self {
            markers: Arc::new(Markers::new(CancellationToken::new())),
            refusals: Arc::clone(Bus::in_process().calling().refusals()),
            is_away: Arc::default(),
            sender,
            sent,
        }
    }

    /// Begins a marker; its outcome is written into the slot.
    fn begin(&self) -> (tokio::task::AbortHandle, Arc<Outcome>) {
        let outcome = Arc::new(Outcome::default());
        let sender = Noting {
            sent: self.sender.clone(),
            is_away: Arc::clone(&self.is_away),
        };
        let (markers, refusals) = (Arc::clone(&self.markers), Arc::clone(&self.refusals));
        let slot = Arc::clone(&outcome);
        let task = tokio::spawn(async move {
            let passed = markers.pass_by(sender, &refusals).await;
            *lock(&slot) = Some(passed);
        });
        (task.abort_handle(), outcome)
    }

    async fn next(&mut self, expected: MarkerKind) -> Names {
        let (kind, names) = self.sent.recv().await.unwrap();
        assert_eq!(kind, expected);
        names
    }

    fn apply(&self, refusal: Refusal) {
        self.refusals.apply(&[refusal]);
    }
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn is_passed(outcome: &Outcome) -> bool {
    match &*lock(outcome) {
        None => false,
        Some(passed) => {
            passed.as_ref().unwrap();
            true
        }
    }
}

fn reply(names: &Names) -> Refusal {
    Refusal::ReplySubject(names.reply.to_string())
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_marker_that_was_given_up_ends_no_other() {
    let mut nats = Played::new();
    let (first, _) = nats.begin();
    nats.next(MarkerKind::Unnamed).await;
    first.abort();
    let (_, second) = nats.begin();
    settle().await;
    assert!(nats.sent.try_recv().is_err(), "the first is under way");
    nats.apply(Refusal::InvalidSubject);
    nats.next(MarkerKind::Unnamed).await;
    settle().await;
    assert!(!is_passed(&second), "that error was of the first");
    nats.apply(Refusal::InvalidSubject);
    settle().await;
    assert!(is_passed(&second));
    assert!(!nats.refusals.has_malformed_of_others());
}

#[tokio::test(start_paused = true)]
async fn a_marker_whose_error_is_lost_is_ended_by_a_named_one() {
    let mut nats = Played::new();
    let (_, outcome) = nats.begin();
    nats.next(MarkerKind::Unnamed).await;
    let names = nats.next(MarkerKind::Named).await;
    let other = Names::new(nats.refusals.inbox());
    nats.apply(reply(&other));
    settle().await;
    assert!(!is_passed(&outcome), "the token is another one");
    nats.apply(reply(&names));
    settle().await;
    assert!(is_passed(&outcome));
}

#[tokio::test(start_paused = true)]
async fn a_marker_given_up_while_nats_is_away_holds_the_next_until_nats_is_back() {
    let mut nats = Played::new();
    let (first, _) = nats.begin();
    nats.next(MarkerKind::Unnamed).await;
    first.abort();
    nats.is_away.store(true, Ordering::Relaxed);
    let (_, second) = nats.begin();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(nats.sent.try_recv().is_err());
    nats.is_away.store(false, Ordering::Relaxed);
    let names = nats.next(MarkerKind::Named).await;
    nats.apply(reply(&names));
    loop {
        // Named ones of the first, which were sent meanwhile.
        let (kind, _) = nats.sent.recv().await.unwrap();
        if kind == MarkerKind::Unnamed {
            break;
        }
    }
    nats.apply(Refusal::InvalidSubject);
    settle().await;
    assert!(is_passed(&second));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_subject_of_the_program_makes_every_later_marker_a_named_one() {
    let mut nats = Played::new();
    nats.apply(Refusal::InvalidSubject);
    for _ in 0..2 {
        let (_, outcome) = nats.begin();
        let names = nats.next(MarkerKind::Named).await;
        nats.apply(Refusal::InvalidSubject);
        settle().await;
        assert!(!is_passed(&outcome));
        nats.apply(reply(&names));
        settle().await;
        assert!(is_passed(&outcome));
    }
}

/// The error of the program is read together with that of the marker, so that the marker is still waited for.
#[tokio::test(start_paused = true)]
async fn a_marker_takes_one_error_of_two_for_its_own() {
    for together in [true, false] {
        let mut nats = Played::new();
        let (_, outcome) = nats.begin();
        nats.next(MarkerKind::Unnamed).await;
        if together {
            nats.refusals
                .apply(&[Refusal::InvalidSubject, Refusal::InvalidSubject]);
        } else {
            nats.apply(Refusal::InvalidSubject);
            nats.apply(Refusal::InvalidSubject);
        }
        settle().await;
        assert!(is_passed(&outcome));
        assert!(nats.refusals.has_malformed_of_others());
        nats.begin();
        nats.next(MarkerKind::Named).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_subscriptions_fails_a_marker_that_exceeds_it_and_no_other() {
    for is_own in [true, false] {
        let mut nats = Played::new();
        let (_, outcome) = nats.begin();
        nats.next(MarkerKind::Unnamed).await;
        nats.apply(Refusal::SubscriptionLimit);
        let names = nats.next(MarkerKind::Named).await;
        if !is_own {
            nats.apply(Refusal::InvalidSubject);
        }
        nats.apply(reply(&names));
        settle().await;
        let outcome = lock(&outcome).take().unwrap();
        assert_eq!(outcome.is_err(), is_own, "{outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Permission);
            assert!(error.to_string().contains("max_subscriptions"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_ends_its_markers() {
    let mut nats = Played::new();
    let (first, _) = nats.begin();
    nats.next(MarkerKind::Unnamed).await;
    first.abort();
    settle().await;
    let only = Arc::clone(&nats.markers.only);
    assert!(only.try_lock().is_err());
    nats.markers.lost.cancel();
    settle().await;
    assert!(only.try_lock().is_ok());
}
