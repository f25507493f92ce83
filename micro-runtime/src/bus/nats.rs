//! The carrier over a NATS connection: connecting, publishing, and the events of the connection that are not
//! messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerError, Subject};
use tokio::sync::broadcast;

use crate::bus::mux::Mux;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::observe;
use crate::status::Reason;
use crate::wire::subject;
use crate::wire::subject::INBOX;

/// Interval of PINGs to the server. async-nats drops the connection when a third is due while two are
/// without PONG, so a dead server is noticed after 45 s at the latest.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Delay before the second attempt to reconnect; the first follows at once, later ones double it.
const INITIAL_RECONNECT_DELAY: Duration = Duration::from_millis(20);
/// Upper bound of the delay between two attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(4);
/// Number of permission violations that a slow receiver may be behind; older ones are dropped for it.
const MAX_QUEUED_VIOLATIONS: usize = 64;

/// Events of one connection: lost, restored, permission violations.
///
/// async-nats reports these only through a callback that is fixed before connecting, hence before there is an
/// inbox; [`attach_mux`](Self::attach_mux) supplies the calls to fail afterwards.
pub(crate) struct ConnectionEvents {
    mux: OnceLock<Weak<Mux>>,
    was_connected: AtomicBool,
    violations: broadcast::Sender<String>,
}

impl ConnectionEvents {
    pub(crate) fn new() -> Self {
        Self {
            mux: OnceLock::new(),
            was_connected: AtomicBool::new(false),
            violations: broadcast::channel(MAX_QUEUED_VIOLATIONS).0,
        }
    }

    /// Sets the reply slots that fail when the connection is lost. They are held weakly: the connection
    /// owns them, and its callback must not keep it alive.
    pub(crate) fn attach_mux(&self, mux: &Arc<Mux>) {
        let _ = self.mux.set(Arc::downgrade(mux));
    }

    /// Returns the texts of permission violations from now on.
    pub(crate) fn violations(&self) -> broadcast::Receiver<String> {
        self.violations.subscribe()
    }

    /// Handles one event in async-nats's task, so it must not wait.
    ///
    /// A lost connection fails all calls in flight at once: until async-nats has reconnected, their replies
    /// are published to an inbox without a subscription, and most of them never arrive.
    fn on_event(&self, event: &Event) {
        match event {
            Event::ServerError(ServerError::Other(text)) if is_violation(text) => {
                tracing::error!("NATS refuses: {text}");
                let _ = self.violations.send(text.clone());
            }
            Event::Disconnected | Event::Closed => {
                tracing::warn!("the connection to NATS is lost");
                if let Some(mux) = self.mux.get().and_then(Weak::upgrade) {
                    mux.fail_all(
                        &Reason::Disconnected
                            .status("the connection to NATS was lost while the call was in flight"),
                    );
                }
            }
            Event::Connected => {
                if self.was_connected.swap(true, Ordering::Relaxed) {
                    tracing::info!("the connection to NATS is back");
                    observe::reconnected();
                }
            }
            Event::SlowConsumer(id) => {
                tracing::warn!(subscription = id, "a slow consumer lost a message");
            }
            event => tracing::warn!("NATS: {event}"),
        }
    }
}

/// Connects with the ping interval, reconnect delay and event callback of every bus.
pub(crate) async fn connect(
    options: ConnectOptions,
    url: &str,
    events: Arc<ConnectionEvents>,
) -> Result<Client, async_nats::ConnectError> {
    options
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            events.on_event(&event);
            std::future::ready(())
        })
        // async-nats takes several servers as a list only.
        .connect(url.split(',').map(str::trim).collect::<Vec<_>>())
        .await
}

/// Returns a new inbox under the prefix of this client, which is the user's own if one is configured.
pub(crate) fn new_inbox(client: &Client) -> Subject {
    let inbox = client.new_inbox();
    let prefix = inbox.rsplit_once('.').map_or(INBOX, |(prefix, _)| prefix);
    subject::new_inbox(prefix)
}

/// Hands a message to async-nats's connection task; waits while its queue of commands is full.
pub(crate) async fn publish(client: &Client, outgoing: Outgoing) -> Result<(), PublishError> {
    let Outgoing {
        subject,
        reply,
        headers,
        payload,
    } = outgoing;
    let published = match (reply, headers) {
        (None, None) => client.publish(subject, payload).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
        (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
        (Some(reply), Some(headers)) => {
            client
                .publish_with_reply_and_headers(subject, reply, headers, payload)
                .await
        }
    };
    published.map_err(|error| not_published(client, error))
}

/// Converts an error of async-nats, which reports a message that is too long without the limit.
pub(super) fn not_published(client: &Client, error: async_nats::PublishError) -> PublishError {
    match error.kind() {
        async_nats::PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge {
            max: client.max_payload(),
        },
        _ => PublishError::Failed(error),
    }
}

/// Returns whether a permission violation concerns this subscription, whose subject NATS quotes in the text.
pub(crate) fn concerns_subject(violation: &str, subject: &str) -> bool {
    violation.contains(&format!("\"{subject}\""))
}

/// Returns whether a permission violation concerns publishing under this inbox.
pub(crate) fn concerns_inbox(violation: &str, inbox: &str) -> bool {
    violation.contains(&format!("\"{inbox}."))
}

/// Returns whether an error text of NATS (`-ERR`) reports a permission violation. The text is the only mark:
/// errors of the protocol have no code.
fn is_violation(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

/// Returns the delay before an attempt to reconnect: none at first, then doubled from 20 ms to 4 s.
///
/// Each delay is reduced at random by up to a half, so that a thousand clients of a server that restarts do
/// not reconnect at one moment.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(16);
    let delay = (INITIAL_RECONNECT_DELAY * 2u32.pow(doublings)).min(MAX_RECONNECT_DELAY);
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Returns the addresses in `url` without user, password and token, for messages and logs.
pub(crate) fn without_secrets(url: &str) -> String {
    url.split(',')
        .map(|server| match server.rsplit_once('@') {
            Some((before, address)) => match before.split_once("://") {
                Some((scheme, _)) => format!("{scheme}://{address}"),
                None => address.to_owned(),
            },
            None => server.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_servers_without_their_secrets() {
        let check = |url: &str, expected: &str| assert_eq!(without_secrets(url), expected);
        check("nats://127.0.0.1:4222", "nats://127.0.0.1:4222");
        check("nats://ada:s3cret@host:4222", "nats://host:4222");
        check("token@host", "host");
        check("nats://a@x,tls://b:c@y:1", "nats://x,tls://y:1");
    }

    #[test]
    fn reconnects_spread_and_never_exceed_four_seconds() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempts in 2..1000 {
            let delay = reconnect_delay(attempts);
            assert!(
                delay >= INITIAL_RECONNECT_DELAY / 2,
                "{attempts}: {delay:?}"
            );
            assert!(delay <= MAX_RECONNECT_DELAY, "{attempts}: {delay:?}");
        }
    }

    #[test]
    fn a_violation_concerns_the_subject_that_it_quotes() {
        let text = r#"Permissions Violation for CarrierSubscription to "a.B.C" using queue "q""#;
        assert!(is_violation(text));
        assert!(concerns_subject(text, "a.B.C"));
        assert!(!concerns_subject(text, "a.B"));
        let text = r#"Permissions Violation for Publish to "_INBOX.x.0-0""#;
        assert!(concerns_inbox(text, "_INBOX.x"));
        assert!(!concerns_inbox(text, "_INBOX.y"));
    }
}
