//! The carrier over a NATS connection, and what NATS says of it outside of messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerError};
use tokio::sync::broadcast;

use crate::bus::mux::Mux;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::observe;
use crate::status::Reason;

const PING_INTERVAL: Duration = Duration::from_secs(15);
const INITIAL_RECONNECT_DELAY: Duration = Duration::from_millis(20);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(4);

/// What NATS tells only through a callback that is fixed before connecting.
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
            violations: broadcast::channel(64).0,
        }
    }

    /// Names the calls that end when the connection is lost.
    pub(crate) fn attach_mux(&self, mux: &Arc<Mux>) {
        let _ = self.mux.set(Arc::downgrade(mux));
    }

    /// The texts of permission violations from now on.
    pub(crate) fn violations(&self) -> broadcast::Receiver<String> {
        self.violations.subscribe()
    }

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

/// Connects with ping, reconnect and event callback set as every bus needs them.
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

/// Hands a message to the connection's task; waits while its queue is full.
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

pub(super) fn not_published(client: &Client, error: async_nats::PublishError) -> PublishError {
    match error.kind() {
        async_nats::PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge {
            max: client.max_payload(),
        },
        _ => PublishError::Failed(error),
    }
}

/// Says whether a violation is about this subscription; NATS quotes the subject.
pub(crate) fn concerns_subject(violation: &str, subject: &str) -> bool {
    violation.contains(&format!("\"{subject}\""))
}

/// Says whether a violation is about publishing under this inbox.
pub(crate) fn concerns_inbox(violation: &str, inbox: &str) -> bool {
    violation.contains(&format!("\"{inbox}."))
}

fn is_violation(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

/// Doubles from 20 ms to 4 s, with full jitter above a half, so that a thousand clients of a server
/// that restarts do not come back at once.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(16);
    let delay = (INITIAL_RECONNECT_DELAY * 2u32.pow(doublings)).min(MAX_RECONNECT_DELAY);
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// A server's address without user, password and token, for messages.
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
    fn violations_are_told_apart_by_the_quoted_subject() {
        let text = r#"Permissions Violation for CarrierSubscription to "a.B.C" using queue "q""#;
        assert!(is_violation(text));
        assert!(concerns_subject(text, "a.B.C"));
        assert!(!concerns_subject(text, "a.B"));
        let text = r#"Permissions Violation for Publish to "_INBOX.x.0-0""#;
        assert!(concerns_inbox(text, "_INBOX.x"));
        assert!(!concerns_inbox(text, "_INBOX.y"));
    }
}
