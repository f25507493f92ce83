//! `Query`: one query of ADR-32 to many instances, and the collection of their replies.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;

use crate::bus::{
    MultiReply, MultiReplyEnd, Outgoing, PublishError, ReplyLimits, RequestError, disconnected,
};
use crate::discovery::peer::Identity;
use crate::discovery::records::{Info, Instance, JsonRecord, Stats};
use crate::discovery::scope::Scope;
use crate::discovery::{names, records};
use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};
use crate::wire::BrokerMessage;
use crate::wire::subject::Verb;

/// Default time after the last reply when a query ends; the `nats` tool has the same.
pub(crate) const DEFAULT_STALL: Duration = Duration::from_millis(300);
/// Default maximum duration of a query; the `nats` tool has the same.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(2);

/// A query to many instances; it is sent when it is awaited, and yields a record of each instance that replies.
///
/// No one knows how many instances there are, so that a query needs an end: the expected number of replies, the stall
/// time after the last reply, or the maximum duration, whichever comes first. That no instance replies is an empty
/// result, not an error.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), micro_runtime::Error> {
/// use std::time::Duration;
/// use micro_runtime::Bus;
///
/// let bus = Bus::in_process();
/// let instances = bus.discovery().list().stall(Duration::from_millis(50)).await?;
/// assert!(instances.is_empty());
/// # Ok(()) }
/// ```
#[must_use = "a query is sent when it is awaited"]
pub struct Query<R> {
    scope: Scope,
    service: Option<String>,
    id: Option<String>,
    bus_prefix: Option<String>,
    limits: ReplyLimits,
    record: PhantomData<fn() -> R>,
}

/// Reply of an instance to a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// The instance.
    pub instance: Instance,
    /// Time from sending the query to receiving the reply.
    pub round_trip: Duration,
}

/// Record of an instance: what a [`Query`] yields, [`Info`], [`Stats`] or [`Pong`], and the [`Instance`] of a
/// change that a watch reports. It is sealed: other crates cannot implement it.
pub trait Record: SealedRecord {}

/// The items of a [`Record`], in a trait that other crates cannot name.
pub trait SealedRecord: fmt::Debug + Send + 'static {
    type Json: JsonRecord + Send;
    const VERB: VerbOf;

    fn new(record: Self::Json, round_trip: Duration) -> Self;

    /// Returns the instance that the record is of.
    fn identity(&self) -> Identity<'_>;
}

/// Keeps the verbs of ADR-32 out of the public interface.
#[derive(Debug)]
pub struct VerbOf(Verb);

impl Record for Info {}
impl Record for Stats {}
impl Record for Pong {}
impl Record for Instance {}

impl SealedRecord for Info {
    type Json = Self;
    const VERB: VerbOf = VerbOf(Verb::Info);

    fn new(record: Self, _: Duration) -> Self {
        record
    }

    fn identity(&self) -> Identity<'_> {
        identity(self)
    }
}

impl SealedRecord for Stats {
    type Json = Self;
    const VERB: VerbOf = VerbOf(Verb::Stats);

    fn new(record: Self, _: Duration) -> Self {
        record
    }

    fn identity(&self) -> Identity<'_> {
        identity(self)
    }
}

impl SealedRecord for Instance {
    type Json = Self;
    const VERB: VerbOf = VerbOf(Verb::Ping);

    fn new(record: Self, _: Duration) -> Self {
        record
    }

    fn identity(&self) -> Identity<'_> {
        identity(self)
    }
}

impl SealedRecord for Pong {
    type Json = Instance;
    const VERB: VerbOf = VerbOf(Verb::Ping);

    fn new(instance: Instance, round_trip: Duration) -> Self {
        Self {
            instance,
            round_trip,
        }
    }

    fn identity(&self) -> Identity<'_> {
        identity(&self.instance)
    }
}

fn identity(record: &impl JsonRecord) -> Identity<'_> {
    let (service, id) = record.instance();
    Identity {
        service,
        id,
        metadata: record.metadata(),
    }
}

impl<R> Query<R> {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self {
            scope: scope.clone(),
            service: None,
            id: None,
            bus_prefix: None,
            limits: ReplyLimits {
                expected: None,
                stall: DEFAULT_STALL,
                max_wait: DEFAULT_MAX_WAIT,
            },
            record: PhantomData,
        }
    }

    /// Asks only the instances of one service, by its full name (`greeter.v1.Greeter`) or its ADR-32 name
    /// (`greeter-v1-Greeter`).
    pub fn of(mut self, service: &str) -> Self {
        self.service = Some(names::service_name(service));
        self
    }

    /// Asks only the instance with this id. One reply is expected then, unless another number is set.
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self.limits.expected.get_or_insert(1);
        self
    }

    /// Ignores instances that announce another prefix of their bus (`micro.prefix`); no prefix is the empty one.
    /// Services that are not built on this library announce none and stay.
    ///
    /// ADR-32's subjects have no prefix, so that instances of every prefix reply.
    #[cfg(feature = "json")]
    pub(crate) fn of_bus(mut self, prefix: Option<&str>) -> Self {
        self.bus_prefix = Some(prefix.unwrap_or_default().to_owned());
        self
    }

    /// Ends the query once this number of instances has replied; with 0 no reply is waited for. Unlimited by default.
    pub fn expected(mut self, instances: usize) -> Self {
        self.limits.expected = Some(instances);
        self
    }

    /// Ends the query when no reply has come for this time after the last one. 300 ms by default.
    pub fn stall(mut self, stall: Duration) -> Self {
        self.limits.stall = stall;
        self
    }

    /// Ends the query after this time in any case, also without a reply. 2 s by default.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.limits.max_wait = max_wait;
        self
    }
}

impl<R: Record> Query<R> {
    /// Sends the query and collects the replies, one for each instance.
    async fn run(self) -> Result<Vec<R>, Error> {
        let subject = self.subject()?;
        let connection = &self.scope.connection;
        let outgoing = Outgoing::to(subject, Bytes::new());
        let multi_reply = MultiReply::send(connection, outgoing, self.limits).await;
        let mut multi_reply = multi_reply.map_err(not_sent)?;
        let mut replies = Vec::new();
        loop {
            let Some(message) = multi_reply.next().await else {
                break;
            };
            let round_trip = multi_reply.elapsed();
            let Some(record) = self.record(&message) else {
                continue;
            };
            let (name, id) = record.instance();
            if multi_reply.is_first_of(Some(&format!("{name}.{id}"))) {
                multi_reply.count();
                replies.push(R::new(record, round_trip));
            }
        }
        match multi_reply.end() {
            Some(MultiReplyEnd::Failed(status)) => return Err(failed(status)),
            Some(MultiReplyEnd::Stalled) if multi_reply.counted() == 0 => {
                // No instance, or a connection that is dead: only the former is a result.
                connection.barrier().await?;
            }
            _ => {}
        }
        Ok(replies)
    }

    /// Returns the subject of the query.
    fn subject(&self) -> Result<Subject, Error> {
        let verb = R::VERB.0;
        if let Some(flaw) = names::prefix_flaw(&self.scope.prefix) {
            let prefix = &self.scope.prefix;
            return Err(invalid(format!("`{prefix}` cannot be a prefix: {flaw}")));
        }
        let Some(name) = &self.service else {
            return Ok(verb.subject(&self.scope.prefix, None, None));
        };
        if let Some(flaw) = names::name_flaw(name) {
            return Err(invalid(format!("`{name}` is not a service's name: {flaw}")));
        }
        // An id that is no token cannot be part of a subject. The replies are compared with it in any case.
        let is_token = |id: &&str| names::prefix_flaw(id).is_none() && !id.contains('.');
        let id = self.id.as_deref().filter(is_token);
        Ok(verb.subject(&self.scope.prefix, Some(name), id))
    }

    /// Reads a reply; `None` if it is no record of this kind, or of another instance or prefix than the one
    /// asked for.
    fn record(&self, message: &Message) -> Option<R::Json> {
        if BrokerMessage::of(message).is_some() {
            return None;
        }
        let (record, invalid_fields) = match records::read::<R::Json>(&message.payload) {
            Ok(read) => read,
            Err(invalid_field) => {
                invalid_field.of_service(self.service.as_deref()).report();
                return None;
            }
        };
        invalid_fields.iter().for_each(|field| {
            field.report();
        });
        let is_wanted = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let prefix = record.metadata().get("micro.prefix");
        let is_match = is_wanted(&self.id, record.instance().1)
            && prefix.is_none_or(|prefix| is_wanted(&self.bus_prefix, prefix));
        is_match.then_some(record)
    }
}

impl<R: Record> IntoFuture for Query<R> {
    type Output = Result<Vec<R>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<R> Clone for Query<R> {
    fn clone(&self) -> Self {
        Self {
            scope: self.scope.clone(),
            service: self.service.clone(),
            id: self.id.clone(),
            bus_prefix: self.bus_prefix.clone(),
            limits: self.limits,
            record: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Query<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("service", &self.service)
            .field("instance", &self.id)
            .finish_non_exhaustive()
    }
}

fn not_sent(error: RequestError) -> Error {
    let message = "the query could not be sent";
    match error {
        RequestError::NoRuntime(none) => none.into_error(message),
        RequestError::Refused(status) => failed(status),
        RequestError::Unsent(PublishError::Failed(error)) => {
            Error::new(ErrorKind::Connect, message).with_source(error)
        }
        RequestError::Unsent(PublishError::TooLarge { .. }) => {
            Error::new(ErrorKind::Connect, message)
        }
        RequestError::Unsent(_) => disconnected(),
    }
}

/// Returns the error of a query that NATS refuses, or whose connection was lost.
fn failed(status: Status) -> Error {
    let kind = match status.reason() {
        Some(Reason::NotPermitted) => ErrorKind::Permission,
        _ => ErrorKind::Connect,
    };
    Error::new(kind, status.message()).with_source(status)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
