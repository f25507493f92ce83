//! `Query`: what is asked of instances, how long for, and what came back.

use std::collections::HashSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::sync::broadcast;

use crate::bus::{
    MultiReply, MultiReplyEnd, Outgoing, ReplyLimits, RequestError, concerns_subject,
};
use crate::discovery::records::{Info, Instance, JsonRecord, Stats};
use crate::discovery::scope::Scope;
use crate::discovery::{names, records};
use crate::error::{Error, ErrorKind};
use crate::wire::subject::Verb;

/// As the `nats` tool waits.
pub(crate) const STALL: Duration = Duration::from_millis(300);
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(2);

/// A question to instances; it is asked when it is awaited.
///
/// It ends as soon as as many have answered as are expected, and else once no answer has come for the
/// stall time.
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
#[must_use = "a question is asked when it is awaited"]
pub struct Query<R> {
    scope: Scope,
    service: Option<String>,
    id: Option<String>,
    patience: ReplyLimits,
    answer: PhantomData<fn() -> R>,
}

/// An instance that answered a ping, and how long that took.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// Who answered.
    pub instance: Instance,
    /// The time from the question to the answer.
    pub round_trip: Duration,
}

/// What a [`Query`] is answered with. There is nothing to implement by hand.
pub trait Record: fmt::Debug + Send + 'static {
    #[doc(hidden)]
    type Json: JsonRecord + Send;
    #[doc(hidden)]
    const VERB: VerbOf;

    #[doc(hidden)]
    fn new(record: Self::Json, round_trip: Duration) -> Self;
}

/// Keeps the verbs of ADR-32 out of the public interface.
#[derive(Debug)]
#[doc(hidden)]
pub struct VerbOf(Verb);

impl Record for Info {
    type Json = Self;
    const VERB: VerbOf = VerbOf(Verb::Info);

    fn new(record: Self, _: Duration) -> Self {
        record
    }
}

impl Record for Stats {
    type Json = Self;
    const VERB: VerbOf = VerbOf(Verb::Stats);

    fn new(record: Self, _: Duration) -> Self {
        record
    }
}

impl Record for Pong {
    type Json = Instance;
    const VERB: VerbOf = VerbOf(Verb::Ping);

    fn new(instance: Instance, round_trip: Duration) -> Self {
        Self {
            instance,
            round_trip,
        }
    }
}

impl<R> Query<R> {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self {
            scope: scope.clone(),
            service: None,
            id: None,
            patience: ReplyLimits {
                expected: None,
                stall: STALL,
                max_wait: MAX_WAIT,
            },
            answer: PhantomData,
        }
    }

    /// Asks the instances of one service only, by its full name (`greeter.v1.Greeter`) or its ADR-32
    /// name (`greeter-v1-Greeter`).
    pub fn of(mut self, service: &str) -> Self {
        self.service = Some(names::service_name(service));
        self
    }

    /// Asks one instance only.
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self.patience.expected.get_or_insert(1);
        self
    }

    /// Ends once so many instances have answered.
    pub fn expected(mut self, instances: usize) -> Self {
        self.patience.expected = Some(instances);
        self
    }

    /// Ends once no answer has come for so long after the last one. 300 ms by default.
    pub fn stall(mut self, stall: Duration) -> Self {
        self.patience.stall = stall;
        self
    }

    /// Ends after so long in any case, be it without an answer. 2 s by default.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.patience.max_wait = max_wait;
        self
    }
}

impl<R: Record> Query<R> {
    async fn ask(self) -> Result<Vec<R>, Error> {
        let subject = self.subject()?;
        let connection = &self.scope.connection;
        let mut violations = connection.violations();
        let outgoing = Outgoing::to(subject.clone(), Bytes::new());
        let gather = MultiReply::send(connection, outgoing, self.patience).await;
        let mut gather = gather.map_err(unasked)?;
        let mut seen = HashSet::new();
        let mut answers = Vec::new();
        loop {
            let message = tokio::select! {
                message = gather.next() => message,
                violation = refusal(violations.as_mut(), &subject) => return Err(violation),
            };
            let Some(message) = message else { break };
            let round_trip = gather.elapsed();
            let Some(record) = self.record(&message) else {
                continue;
            };
            let (name, id) = record.instance();
            if seen.insert((name.to_owned(), id.to_owned())) {
                gather.count();
                answers.push(R::new(record, round_trip));
            }
        }
        if gather.counted() == 0 && gather.end() == Some(MultiReplyEnd::Stalled) {
            // Nobody is there, or the connection does not carry: only one of them is an answer.
            connection.barrier().await?;
        }
        Ok(answers)
    }

    fn subject(&self) -> Result<Subject, Error> {
        let verb = R::VERB.0;
        if let Some(flaw) = names::prefix_flaw(&self.scope.prefix) {
            let prefix = &self.scope.prefix;
            return Err(wrong(format!("`{prefix}` cannot be a prefix: {flaw}")));
        }
        let Some(name) = &self.service else {
            return Ok(verb.subject(&self.scope.prefix, None, None));
        };
        if let Some(flaw) = names::name_flaw(name) {
            return Err(wrong(format!("`{name}` is not a service's name: {flaw}")));
        }
        // An id that is no token cannot be asked by itself; nobody has it.
        let is_token = |id: &&str| names::prefix_flaw(id).is_none() && !id.contains('.');
        let id = self.id.as_deref().filter(is_token);
        Ok(verb.subject(&self.scope.prefix, Some(name), id))
    }

    fn record(&self, message: &Message) -> Option<R::Json> {
        let Some(record) = records::read::<R::Json>(&message.payload) else {
            tracing::debug!(
                bytes = message.payload.len(),
                "an answer is no record of ADR-32"
            );
            return None;
        };
        let (_, id) = record.instance();
        self.id
            .as_deref()
            .is_none_or(|asked| asked == id)
            .then_some(record)
    }
}

impl<R: Record> IntoFuture for Query<R> {
    type Output = Result<Vec<R>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

impl<R> Clone for Query<R> {
    fn clone(&self) -> Self {
        Self {
            scope: self.scope.clone(),
            service: self.service.clone(),
            id: self.id.clone(),
            patience: self.patience,
            answer: PhantomData,
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

/// Waits for NATS to refuse this subject.
pub(crate) async fn refusal(
    violations: Option<&mut broadcast::Receiver<String>>,
    subject: &str,
) -> Error {
    let Some(violations) = violations else {
        return std::future::pending().await;
    };
    loop {
        match violations.recv().await {
            Ok(text) if concerns_subject(&text, subject) => {
                let message = format!("NATS does not let this user use `{subject}`: {text}");
                return Error::new(ErrorKind::Permission, message);
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn unasked(unasked: RequestError) -> Error {
    let message = "the question could not be sent";
    match unasked {
        RequestError::Unsubscribed(error) => error,
        RequestError::Unsent(crate::bus::PublishError::Failed(error)) => {
            Error::new(ErrorKind::Connect, message).with_source(error)
        }
        RequestError::Unsent(crate::bus::PublishError::TooLarge { .. }) => {
            Error::new(ErrorKind::Connect, message)
        }
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
