//! `NoStreamCause`: why nothing has received an event that a stream was to store.

use std::sync::Arc;

use async_nats::jetstream::ErrorCode;

use crate::bus::Connection;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::redeclaration::declare_again;

/// Cause of a durable publish without responders, which NATS does not state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoStreamCause {
    /// No stream stores the subject.
    NoStream,
    /// The stream with this name has no leader now.
    NoLeader(String),
    /// The stream with this name was gone, and is there again.
    DeclaredAgain(String),
    /// The stream with this name is gone, and JetStream does not create it again for this reason.
    Gone(String, String),
    /// JetStream is off for this account, or all its servers are away; in words.
    JetStreamOff(String),
    /// JetStream does not state it: another look-up of this connection is under way, no leader replies, or the user may
    /// not ask.
    Unknown,
}

impl NoStreamCause {
    /// Asks JetStream for the stream of a subject, and declares it again if it is gone and was declared over this
    /// connection.
    ///
    /// One look-up of a connection runs at a time: when a leader is lost, thousands of events have no responders at
    /// once.
    pub(super) async fn look_up(connection: &Arc<Connection>, subject: &str) -> Self {
        let Ok(jetstream) = connection.jetstream_or_error() else {
            return Self::Unknown;
        };
        let Ok(_looking_up) = jetstream.looking_up.try_lock() else {
            return Self::Unknown;
        };
        let api = Api::new(connection);
        match api.stream_of(subject).await {
            Ok(Some(stream)) => Self::NoLeader(stream),
            Ok(None) => match jetstream.declared.stream_of(subject) {
                Some(stream) => Self::of_declared(&api, stream).await,
                None => Self::NoStream,
            },
            Err(error) => Self::of_error(&error),
        }
    }

    /// Declares a stream again.
    async fn of_declared(api: &Api<'_>, stream: String) -> Self {
        match declare_again(api, &stream).await {
            Ok(true) => Self::DeclaredAgain(stream),
            Ok(false) => Self::NoStream,
            Err(error) => Self::Gone(stream, error.to_string()),
        }
    }

    fn of_error(error: &ApiError) -> Self {
        let is_off = error.is(ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT)
            || error.is(ErrorCode::JETSTREAM_NOT_ENABLED);
        match error {
            ApiError::NoJetStream(_) => Self::JetStreamOff(error.to_string()),
            _ if is_off => {
                Self::JetStreamOff(format!("{error}; enable JetStream for this account"))
            }
            _ => Self::Unknown,
        }
    }

    /// Returns the cause as a sentence, with the remedy where there is one.
    pub(super) fn text(&self, subject: &str) -> String {
        match self {
            Self::NoStream => {
                format!("no stream stores `{subject}`; declare one with `EventStream`")
            }
            Self::NoLeader(stream) => format!(
                "stream `{stream}`, which stores `{subject}`, has no leader: its servers are away, or elect one"
            ),
            Self::DeclaredAgain(stream) => {
                format!("stream `{stream}` was gone, and is declared again")
            }
            Self::Gone(stream, error) => {
                format!(
                    "stream `{stream}` is gone, and JetStream does not create it again: {error}"
                )
            }
            Self::JetStreamOff(text) => text.clone(),
            Self::Unknown => {
                format!("no stream stores `{subject}`, its leader is away, or JetStream is off")
            }
        }
    }
}
