//! `Repeats`: recognizes the messages that two links deliver. Pure.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::time::Duration;

use async_nats::{HeaderMap, Message};
use smallvec::SmallVec;
use tokio::time::Instant;

/// Maximum time from the arrival of a message on the old link to that on the new one.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// The messages of one subscription that came on the old link. On the new one each of them is dropped once.
///
/// NATS numbers no messages, so two are the same if all their bytes are. Requests, frames and deliveries of JetStream
/// have a subject, a reply subject or a number of their own. Of events that are published again and again with equal
/// bytes one may be lost, or come twice: the last that came on the old link is taken for the one on the new link.
#[derive(Default)]
pub(super) struct Repeats {
    /// By hash when each came, the last one last.
    noted: HashMap<u64, SmallVec<[Instant; 1]>>,
    hashes: RandomState,
}

impl Repeats {
    /// Notes a message that came on the old link at this time.
    pub(super) fn note(&mut self, message: &Message, came: Instant) {
        let hash = self.hash(message);
        self.noted.entry(hash).or_default().push(came);
    }

    /// Returns whether a message that came on the new link at this time came on the old one as well; once for each that
    /// did.
    pub(super) fn take(&mut self, message: &Message, came: Instant) -> bool {
        if self.noted.is_empty() {
            return false;
        }
        let hash = self.hash(message);
        let Some(noted) = self.noted.get_mut(&hash) else {
            return false;
        };
        let last = noted.pop();
        if noted.is_empty() {
            self.noted.remove(&hash);
        }
        last.is_some_and(|last| came.saturating_duration_since(last) <= MAX_DELAY)
    }

    fn hash(&self, message: &Message) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        let headers = message.headers.as_ref();
        (&*message.subject, message.reply.as_deref()).hash(&mut hasher);
        (
            &*message.payload,
            headers.map(|all| self.hash_of_headers(all)),
        )
            .hash(&mut hasher);
        hasher.finish()
    }

    /// Hashes headers independently of their order, which differs from one map to the next.
    fn hash_of_headers(&self, headers: &HeaderMap) -> u64 {
        let hashes = headers.iter().map(|(name, values)| {
            let mut hasher = self.hashes.build_hasher();
            AsRef::<str>::as_ref(name).hash(&mut hasher);
            for value in values {
                value.as_str().hash(&mut hasher);
            }
            hasher.finish()
        });
        hashes.fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(reply: Option<&str>, payload: &str, headers: &[(&str, &str)]) -> Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        Message {
            subject: "evt.a".into(),
            reply: reply.map(Into::into),
            payload: payload.to_owned().into(),
            headers: (!headers.is_empty()).then_some(map),
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn each_message_of_the_old_link_is_a_repeat_once() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let tick = message(None, "tick", &[]);
        assert!(!repeats.take(&tick, now));
        repeats.note(&tick, now);
        repeats.note(&tick, now);
        let taken = [(); 3].map(|()| repeats.take(&tick, now));
        assert_eq!(taken, [true, true, false]);
    }

    /// Equal events each 10 ms, of which the old link has 0 to 300, the new one 150 to 500.
    #[test]
    fn of_equal_events_nearly_all_come_once() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let tick = message(None, "tick", &[]);
        let at = |number: u32| start + Duration::from_millis(10) * number;
        let mut delivered = 0;
        for number in 0..500 {
            if number <= 300 {
                repeats.note(&tick, at(number));
                delivered += 1;
            }
            if number >= 150 && !repeats.take(&tick, at(number)) {
                delivered += 1;
            }
        }
        assert!((490..=500).contains(&delivered), "{delivered}");
    }

    #[test]
    fn every_part_of_a_message_counts_but_the_order_of_header_names() {
        let names = [("a", "1"), ("b", "2"), ("b", "3")];
        let noted = message(Some("_INBOX.x.1"), "p", &names);
        let now = Instant::now();
        for other in [
            message(None, "p", &names),
            message(Some("_INBOX.x.2"), "p", &names),
            message(Some("_INBOX.x.1"), "q", &names),
            message(Some("_INBOX.x.1"), "p", &names[..2]),
            message(
                Some("_INBOX.x.1"),
                "p",
                &[("a", "1"), ("b", "3"), ("b", "2")],
            ),
            message(Some("_INBOX.x.1"), "p", &[]),
        ] {
            let mut repeats = Repeats::default();
            repeats.note(&noted, now);
            assert!(!repeats.take(&other, now), "{other:?}");
        }
        let mut repeats = Repeats::default();
        repeats.note(&noted, now);
        let same = message(Some("_INBOX.x.1"), "p", &[names[1], names[2], names[0]]);
        assert!(repeats.take(&same, now));
    }
}
