//! `Api`: requests to JetStream's API, each with a reply slot of the connection.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{self, IntoConsumerConfig as _};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream;
use async_nats::jetstream::stream::RawMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::bus::{Connection, NoRuntime, Outgoing};
use crate::error::{Error, ErrorKind};
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stored_message::StoredMessage;
use crate::status::{Code, Reason, Status};
use crate::subject::raw_flaw;
use crate::wire::subject;

/// Maximum time until JetStream replies to a request. A cluster that elects a leader takes a few seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Cause of a request that has no responders: JetStream subscribes to its API for each account that it is
/// enabled for.
const NO_JETSTREAM: &str =
    "this nats-server has no JetStream; start it with `-js`, or enable it for this account";

/// JetStream's API on one connection (ADR-31 and the JSON schemas of the NATS organization).
///
/// async-nats has the same requests. These take a reply slot of the connection, so that their reply subjects
/// are used once and cannot be guessed, and so that a lost connection or a refusal of NATS ends them at once,
/// as it ends a call.
pub(super) struct Api<'a> {
    connection: &'a Arc<Connection>,
}

/// Failure of a request to JetStream's API.
#[derive(Debug)]
pub(super) enum ApiError {
    /// JetStream rejected the request.
    Rejected(jetstream::Error),
    /// Nothing replies to JetStream's API under these first tokens: the account has none.
    NoJetStream(Box<str>),
    /// A name cannot be a token of the request's subject; the text states why.
    Malformed(String),
    /// No reply arrived: NATS refused the request, the connection was lost, or the time ran out.
    NoReply(Status),
    /// The reply is not one of JetStream.
    Undecodable(serde_json::Error),
    /// Nothing was sent: there is no runtime to wait for the reply.
    NoRuntime(NoRuntime),
}

/// One page of `STREAM.NAMES`; further ones are not needed for a lookup by subject.
#[derive(Deserialize)]
struct StreamNames {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// Reply of `STREAM.MSG.GET`.
#[derive(Deserialize)]
struct StoredMessageReply {
    message: RawMessage,
}

impl<'a> Api<'a> {
    pub(super) fn new(connection: &'a Arc<Connection>) -> Self {
        Self { connection }
    }

    /// Returns the connection of the requests.
    pub(super) fn connection(&self) -> &'a Arc<Connection> {
        self.connection
    }

    /// Returns the name of a stream that stores this subject or pattern; `None` if there is none.
    pub(super) async fn stream_of(&self, subject: &str) -> Result<Option<String>, ApiError> {
        Ok(self.streams_of(subject).await?.into_iter().next())
    }

    /// Returns the names of the streams that store something of this subject or pattern.
    pub(super) async fn streams_of(&self, subject: &str) -> Result<Vec<String>, ApiError> {
        let request = json!({ "subject": subject });
        let names: StreamNames = self.request("STREAM.NAMES", &[], None, &request).await?;
        Ok(names.streams.unwrap_or_default())
    }

    /// Returns settings and state of a stream.
    pub(super) async fn stream_info(&self, stream: &str) -> Result<stream::Info, ApiError> {
        self.request("STREAM.INFO", &[stream], None, &json!(null))
            .await
    }

    /// Returns the first stored message from `start` on whose subject matches `filter`; `None` if there is none.
    pub(super) async fn next_message(
        &self,
        stream: &str,
        start: StartFrom,
        filter: &str,
    ) -> Result<Option<StoredMessage>, ApiError> {
        let mut request = json!({ "next_by_subj": filter });
        match start {
            StartFrom::Sequence(sequence) => request["seq"] = sequence.max(1).into(),
            // Written as a consumer has it.
            StartFrom::Time(_) => {
                request["start_time"] = json!(start.deliver_policy())["opt_start_time"].take();
            }
            StartFrom::First | StartFrom::New => request["seq"] = 1.into(),
        }
        self.message(stream, &request).await
    }

    /// Returns the stored message that a request picks; `None` if there is none.
    async fn message(
        &self,
        stream: &str,
        request: &serde_json::Value,
    ) -> Result<Option<StoredMessage>, ApiError> {
        let reply = self
            .request("STREAM.MSG.GET", &[stream], None, request)
            .await;
        match reply {
            Ok(StoredMessageReply { message }) => Ok(Some(message.into())),
            Err(error) if error.is(ErrorCode::NO_MESSAGE_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the last stored message of a subject; `None` if there is none.
    pub(super) async fn last_message(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StoredMessage>, ApiError> {
        let request = json!({ "last_by_subj": subject });
        self.message(stream, &request).await
    }

    /// Returns why async-nats cannot parse a stored message when it is delivered; `None` if it can.
    ///
    /// JSON has U+FFFD in place of what is not UTF-8 in a subject, which a subject may have itself: JetStream finds the
    /// message under such a subject alone.
    pub(super) async fn flaw(
        &self,
        stream: &str,
        message: &StoredMessage,
    ) -> Result<Option<&'static str>, ApiError> {
        if message.subject.contains(char::REPLACEMENT_CHARACTER) {
            let start = StartFrom::Sequence(message.sequence);
            let found = self.next_message(stream, start, &message.subject).await?;
            if found.is_none_or(|found| found.sequence != message.sequence) {
                return Ok(Some("its subject cannot be read: it is not UTF-8"));
            }
        }
        Ok(message.flaw())
    }

    /// Sends an acknowledgment, and returns once JetStream has confirmed it.
    pub(super) async fn acknowledge(
        &self,
        subject: Subject,
        payload: Bytes,
    ) -> Result<(), ApiError> {
        self.reply_in_time(subject, payload).await.map(drop)
    }

    /// Returns settings and state of a consumer.
    pub(super) async fn consumer_info(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<consumer::Info, ApiError> {
        let names = [stream, consumer];
        self.request("CONSUMER.INFO", &names, None, &json!(null))
            .await
    }

    /// Creates a consumer with a name and one filter. Strict: an existing one with other settings is an error.
    pub(super) async fn create_consumer(
        &self,
        stream: &str,
        config: &pull::Config,
    ) -> Result<consumer::Info, ApiError> {
        let name = config.durable_name.as_deref().or(config.name.as_deref());
        let names = [stream, name.unwrap_or_default()];
        let filter = Some(&*config.filter_subject);
        let config = config.into_consumer_config();
        let request = json!({ "stream_name": stream, "config": config, "action": "create" });
        self.request("CONSUMER.CREATE", &names, filter, &request)
            .await
    }

    /// Deletes a consumer.
    pub(super) async fn delete_consumer(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<(), ApiError> {
        let names = [stream, consumer];
        let deleted =
            self.request::<serde_json::Value>("CONSUMER.DELETE", &names, None, &json!(null));
        deleted.await.map(drop)
    }

    /// Sends a request about the stream or consumer with these names. `filter` ends the subject where the request
    /// has one: it lets permissions restrict what a user may consume.
    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        verb: &str,
        names: &[&str],
        filter: Option<&str>,
        request: &serde_json::Value,
    ) -> Result<T, ApiError> {
        if let Some(flaw) = names.iter().find_map(|name| name_flaw(name)) {
            return Err(ApiError::Malformed(flaw));
        }
        NoRuntime::check().map_err(ApiError::NoRuntime)?;
        let about: Vec<&str> = names.iter().copied().chain(filter).collect();
        let subject = subject::api(self.connection.jetstream_api(), verb, &about);
        let payload = match request {
            serde_json::Value::Null => Bytes::new(),
            request => Bytes::from(request.to_string()),
        };
        let reply = self.reply_in_time(subject, payload).await?;
        match serde_json::from_slice(&reply) {
            Ok(Response::Ok(reply)) => Ok(reply),
            Ok(Response::Err { error }) => Err(ApiError::Rejected(error)),
            Err(error) => Err(ApiError::Undecodable(error)),
        }
    }

    /// Publishes one request, and waits for the payload of its reply, for 10 s at most.
    async fn reply_in_time(&self, subject: Subject, payload: Bytes) -> Result<Bytes, ApiError> {
        let replied = tokio::time::timeout(REQUEST_TIMEOUT, self.reply(subject, payload)).await;
        replied.unwrap_or_else(|_| Err(ApiError::NoReply(no_reply())))
    }

    /// Publishes one request, and waits for the payload of its reply.
    async fn reply(&self, subject: Subject, payload: Bytes) -> Result<Bytes, ApiError> {
        let reserved = self.connection.mux().reserve(&subject);
        let (mut slot, reply) = reserved.map_err(ApiError::NoReply)?;
        let outgoing = Outgoing {
            reply: Some(reply),
            ..Outgoing::to(subject, payload)
        };
        if let Err(error) = self.connection.publish_request(&mut slot, outgoing).await {
            return Err(ApiError::NoReply(error.into_status("the request")));
        }
        let reply = poll_fn(|cx| slot.poll(cx)).await;
        let reply = reply.map_err(ApiError::NoReply)?;
        match reply.is_no_responders() {
            true => Err(ApiError::NoJetStream(
                self.connection.jetstream_api().into(),
            )),
            false => Ok(reply.into_payload()),
        }
    }
}

impl ApiError {
    /// Returns whether JetStream rejected the request for this reason.
    pub(super) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Rejected(error) if error.error_code() == code)
    }

    /// Returns whether no reply came since the connection is lost.
    pub(super) fn is_disconnected(&self) -> bool {
        matches!(self, Self::NoReply(status) if status.reason() == Some(Reason::Disconnected))
    }

    /// Returns whether NATS does not let this user send the request.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::NoReply(status) if status.code() == Code::PermissionDenied)
    }

    /// Returns the error of an operation that failed so; `action` completes the sentences "JetStream does not …" and,
    /// where it has not replied at all, "cannot …".
    pub(super) fn into_error(self, action: &str) -> Error {
        let kind = match &self {
            Self::NoReply(status) => match status.code() {
                Code::PermissionDenied => ErrorKind::Permission,
                Code::DeadlineExceeded => ErrorKind::Timeout,
                _ => ErrorKind::Connect,
            },
            Self::NoRuntime(_) => ErrorKind::Runtime,
            _ => ErrorKind::JetStream,
        };
        let outcome = match &self {
            Self::NoReply(_) | Self::NoRuntime(_) => "cannot",
            _ => "JetStream does not",
        };
        Error::new(kind, format!("{outcome} {action}: {self}")).with_source(self)
    }

    /// Returns the status of an operation that failed so: `PERMISSION_DENIED` if NATS refused the request, else
    /// [`Reason::NotStored`]. `text` is a sentence that ends before the cause.
    pub(super) fn into_status(self, text: &str) -> Status {
        let text = format!("{text}: {self}");
        let status = match &self {
            Self::NoReply(status) if status.code() == Code::PermissionDenied => {
                Reason::NotPermitted.status(text)
            }
            Self::NoRuntime(_) => Status::failed_precondition(text),
            _ => Reason::NotStored.status(text),
        };
        status.with_source(self)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(error) => write!(f, "{error}"),
            Self::NoJetStream(api) if **api == *subject::JETSTREAM_API => f.write_str(NO_JETSTREAM),
            Self::NoJetStream(api) => write!(
                f,
                "no JetStream replies under `{api}`; is that its domain, or the prefix of its API?"
            ),
            Self::Malformed(reason) => f.write_str(reason),
            Self::NoReply(status) => f.write_str(status.message()),
            Self::Undecodable(error) => write!(f, "its reply cannot be read: {error}"),
            Self::NoRuntime(none) => write!(f, "{none}"),
        }
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Rejected(error) => Some(error),
            Self::NoReply(status) => Some(status),
            Self::Undecodable(error) => Some(error),
            Self::NoJetStream(_) | Self::Malformed(_) | Self::NoRuntime(_) => None,
        }
    }
}

/// Returns why `name` cannot name a stream or a consumer, as a sentence.
fn name_flaw(name: &str) -> Option<String> {
    let flaw = raw_flaw(name, false);
    let flaw = flaw.or_else(|| name.contains('.').then_some("it has a dot"))?;
    Some(format!("`{name}` cannot be a name: {flaw}"))
}

fn no_reply() -> Status {
    Reason::Deadline.status(format!(
        "JetStream did not reply within {REQUEST_TIMEOUT:?}"
    ))
}
