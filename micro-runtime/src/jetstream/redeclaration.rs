//! Streams that are gone are declared again: after a reconnect, and where a publish or a consumer finds one missing.
//!
//! A nats-server that restarts has lost its streams in memory, and an operator may remove any. The configuration is the
//! one that this program has declared. A stream that exists again, whatever its settings, is used as it is: comparing
//! is for declarations, which a person reads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use tokio::sync::watch;

use crate::bus::{Connection, ConnectionState};
use crate::error::Error;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::config_api::ConfigChange;
use crate::jetstream::declaration::StreamDeclaration;
use crate::jetstream::raw_config::RawConfig;

/// Wait before the second attempt to declare streams again after a reconnect; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum wait between two attempts to declare streams again after a reconnect.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Declares a stream again from now on where it is gone.
///
/// # Errors
///
/// [`ErrorKind::JetStream`](crate::ErrorKind::JetStream) inside one process.
pub(super) fn keep(connection: &Arc<Connection>, stream: &StreamDeclaration) -> Result<(), Error> {
    let declared = &connection.jetstream_or_error()?.declared;
    declared.add(&stream.name, &stream.subjects, stream.creation());
    if declared.begin_watch() {
        tokio::spawn(watch(Arc::downgrade(connection), connection.states()));
    }
    Ok(())
}

/// Creates a stream that is gone, and returns whether it was declared over this connection. Another process may create
/// it at the same moment.
pub(super) async fn declare_again(api: &Api<'_>, name: &str) -> Result<bool, ApiError> {
    let Ok(jetstream) = api.connection().jetstream_or_error() else {
        return Ok(false);
    };
    let config = jetstream.declared.config(name);
    let Some(config) = config.and_then(|config| serde_json::from_value::<RawConfig>(config).ok())
    else {
        return Ok(false);
    };
    match api.put_stream(ConfigChange::Create, &config).await {
        Ok(_) => {
            let stream = name.to_owned();
            jetstream.declared.loss_log.write(move |count| {
                tracing::warn!(stream, count, "a stream was gone, and is declared again");
            });
            Ok(true)
        }
        Err(error) if error.is(ErrorCode::STREAM_NAME_EXIST) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Looks after each reconnect for streams that are gone, until the connection is closed or dropped.
async fn watch(connection: Weak<Connection>, mut states: watch::Receiver<ConnectionState>) {
    while states.changed().await.is_ok() {
        if *states.borrow() == ConnectionState::Closed {
            return;
        }
        let mut backoff = INITIAL_BACKOFF;
        while *states.borrow_and_update() == ConnectionState::Connected {
            let Some(connection) = connection.upgrade() else {
                return;
            };
            if declare_missing(&connection).await {
                break;
            }
            drop(connection);
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

/// Declares the streams again that are gone. Returns whether that is done: a failure is logged, and tried again but for
/// a refusal, which a person has to change.
async fn declare_missing(connection: &Arc<Connection>) -> bool {
    let Ok(jetstream) = connection.jetstream_or_error() else {
        return true;
    };
    let mut is_done = true;
    for name in jetstream.declared.names() {
        if let Err(error) = declare_if_missing(&Api::new(connection), &name).await {
            is_done &= error.is_refused() || error.is_disconnected();
            jetstream.declared.failure_log.write(move |count| {
                tracing::warn!(stream = name, %error, count, "cannot declare a stream again after a reconnect");
            });
        }
    }
    is_done
}

async fn declare_if_missing(api: &Api<'_>, name: &str) -> Result<(), ApiError> {
    match api.stream_details(name).await {
        Err(error) if error.is(ErrorCode::STREAM_NOT_FOUND) => {
            declare_again(api, name).await.map(drop)
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
