//! The task that reads NATS's errors (`-ERR`) of one link, and notices where some may have been lost.
//!
//! async-nats keeps 128 events at most for its callback and drops further ones. The callback therefore only queues
//! texts here (`refusal_queue`); a burst of refusals can overrun it all the same. Of a subject that many calls use
//! one refusal is enough. Whatever else depends on an error that was lost would wait for it in vain: so after a burst
//! `loss_recovery` asks NATS again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::bus::mux::Mux;
use crate::bus::refusal::Refusal;
use crate::bus::refusal_queue::ConnectionReport;
use crate::bus::refusals::{MIN_LOSSY_EVENTS, Refusals};
use crate::wire::refused_subject;

/// Maximum number of events that are passed on together.
const MAX_BATCH: usize = 1024;
/// Number of events within [`BURST_WINDOW`] from which some may have been lost: half of what async-nats keeps, since
/// those that it dropped come besides, and so do the replies to markers and probes, which are not counted.
const MIN_LOSSY_BURST: usize = MIN_LOSSY_EVENTS as usize / 2;
/// Time within which events belong together: the task that passes them on may be held up between two of them.
const BURST_WINDOW: Duration = Duration::from_secs(1);
/// Minimum time between two walks over the reply slots, each of which holds up the calls of the connection. A peer can
/// cause refusals one by one, where a server may not publish to its reply subject.
const WALK_INTERVAL: Duration = Duration::from_millis(2);
/// Time without an event after which a burst is over.
const BURST_END: Duration = Duration::from_millis(10);
/// Maximum time from the beginning of a burst to the probes, where events never cease.
const MAX_BURST: Duration = Duration::from_millis(250);

/// The reader's state: what arrives, and the burst that it belongs to.
struct Reader {
    reports: mpsc::Receiver<ConnectionReport>,
    batch: Vec<ConnectionReport>,
    refusals: Arc<Refusals>,
    mux: Arc<Mux>,
    /// Numbers of the last events, with the time at which they were read.
    recent: VecDeque<(Instant, usize)>,
    /// When the reply slots were last walked over for a refused message.
    last_walk: Option<Instant>,
    /// Reply subject of the messages that ask NATS whether their subject is allowed.
    probe_reply: Subject,
}

/// Passes refusals on until it is aborted.
pub(super) async fn run(
    reports: mpsc::Receiver<ConnectionReport>,
    refusals: Arc<Refusals>,
    mux: Arc<Mux>,
) {
    let mut reader = Reader {
        probe_reply: refused_subject::probe_reply(mux.inbox()),
        reports,
        batch: Vec::new(),
        refusals,
        mux,
        recent: VecDeque::new(),
        last_walk: None,
    };
    loop {
        if reader.read().await == 0 {
            return;
        }
        if !reader.is_lossy() {
            continue;
        }
        let last = Instant::now() + MAX_BURST;
        while Instant::now() < last {
            let end = Instant::now() + BURST_END;
            match reader.read_until(end).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        reader.recent.clear();
        reader.refusals.suspect_loss();
    }
}

impl Reader {
    /// Reads as [`read`](Self::read) does, up to a moment.
    async fn read_until(&mut self, until: Instant) -> Result<usize, tokio::time::error::Elapsed> {
        timeout_at(until, self.read()).await
    }

    /// Waits for events, passes on those that have arrived, and returns their number; 0 once there will be no more.
    /// Cancel safe.
    async fn read(&mut self) -> usize {
        if let Some(walk) = self.last_walk {
            tokio::time::sleep_until(walk + WALK_INTERVAL).await;
        }
        let reading = self.reports.recv_many(&mut self.batch, MAX_BATCH);
        let count = reading.await;
        let mut refusals = Vec::with_capacity(count);
        for report in std::mem::take(&mut self.batch) {
            if let ConnectionReport::Error(text) = report {
                refusals.push(Refusal::parse(&text));
            }
        }
        self.apply(count, refusals);
        count
    }

    /// Passes on the refusals among some events.
    fn apply(&mut self, events: usize, mut refusals: Vec<Refusal>) {
        self.refusals.count_events(events);
        let is_reply = |refusal: &&Refusal| self.is_reply(refusal);
        let replies = refusals.iter().filter(is_reply).count();
        self.recent.push_back((Instant::now(), events - replies));
        refusals.retain(|refusal| !self.is_of_allowed_probe(refusal));
        let is_walk = |refusal: &Refusal| matches!(refusal, Refusal::Publish(_));
        if refusals.iter().any(is_walk) {
            self.last_walk = Some(Instant::now());
        }
        self.refusals.apply(&refusals);
    }

    /// Returns whether so many events have come of late that async-nats may have dropped some.
    fn is_lossy(&mut self) -> bool {
        let now = Instant::now();
        while let Some((at, _)) = self.recent.front()
            && now - *at > BURST_WINDOW
        {
            self.recent.pop_front();
        }
        let count = self.recent.iter().map(|(_, count)| count).sum::<usize>();
        count >= MIN_LOSSY_BURST
    }

    /// Returns whether the error is that of a marker or a probe: they come a few at a time, and cost no other error.
    fn is_reply(&self, refusal: &Refusal) -> bool {
        let is_marker = |subject| refused_subject::is_marker(self.mux.inbox(), subject);
        match refusal {
            Refusal::ReplySubject(subject) => is_marker(subject),
            Refusal::Publish(subject) => is_marker(subject) || self.mux.is_probed(subject),
            Refusal::InvalidSubject => !self.refusals.has_malformed_of_others(),
            _ => false,
        }
    }

    /// Returns whether the error shows that the subject of a probe is allowed, and so concerns nothing else.
    fn is_of_allowed_probe(&self, refusal: &Refusal) -> bool {
        matches!(refusal, Refusal::ReplySubject(subject) if **subject == *self.probe_reply)
    }
}
