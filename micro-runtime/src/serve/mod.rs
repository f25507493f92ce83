//! Dispatch: takes requests off subscriptions, runs handlers, and answers every request once.

mod call;
mod layered;
mod reply;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Message, Subject};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Connection, Subscription};
use crate::context::Context;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::endpoint::Handler;
use crate::metadata::Metadata;
use crate::observe;
use crate::observe::Meters;
use crate::options::{MethodOptions, Timeouts};
use crate::pace::Pace;
use crate::serve::call::Call;
use crate::status::details::RetryInfo;
use crate::status::{Code, Reason, Status};
use crate::wire;

/// What all endpoints of one running server share.
pub(crate) struct Shared {
    pub(crate) connection: Arc<Connection>,
    /// The calls that outlive the loop that took them.
    pub(crate) tasks: TaskTracker,
    /// Ends the calls that are left when the grace period is over.
    pub(crate) end: CancellationToken,
    pub(crate) in_flight: Gate,
    pub(crate) reply_prefixes: Vec<String>,
    pub(crate) timeouts: Timeouts,
}

/// One method that is served.
pub(crate) struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) options: MethodOptions,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) service_in_flight: Arc<Gate>,
    pub(crate) in_flight: Gate,
    pub(crate) pace: Pace,
    pub(crate) meters: Arc<Meters>,
}

/// The methods of one instance, by name.
pub(crate) struct Instance {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) shared: Arc<Shared>,
    /// The subject before the method's name, with its dot.
    pub(crate) base: String,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

/// What a subscription's requests are for.
pub(crate) enum Target {
    Endpoint(Arc<Endpoint>),
    Instance(Instance),
}

pub(crate) use layered::layered;

/// When a caller may try again whom a limit turned away.
const RETRY_AFTER_MS: i32 = 100;

/// How far a server has come with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// The subscriptions end at the server; what is under way still arrives.
    Stopping,
    /// Everything has arrived; the loops end once they have read it.
    Closing,
}

/// Says once that a loop has stopped, at its end at the latest: who waits for all loops must not
/// wait for one that ended with its connection.
struct Stopped(Option<mpsc::UnboundedSender<()>>);

/// Counts what runs, and says no above the limit. Never waits.
pub(crate) struct Gate {
    limit: usize,
    running: AtomicUsize,
}

/// A place in the server and in the method; given back when dropped.
struct Permit(Arc<Endpoint>);

/// Reads one subscription until it is closed; says on `stopped` that it has stopped, once.
pub(crate) async fn run(
    mut subscription: Subscription,
    target: Target,
    mut phase: watch::Receiver<Phase>,
    stopped: mpsc::UnboundedSender<()>,
) {
    let mut stopped = Stopped(Some(stopped));
    let mut current = Phase::Serving;
    loop {
        // Looked at before every message: a loop that is never idle does not come to `changed`.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match next {
                Phase::Serving => {}
                Phase::Stopping => {
                    subscription.stop().await;
                    stopped.say();
                }
                Phase::Closing => subscription.close().await,
            }
        }
        tokio::select! {
            biased;
            message = subscription.next() => match message {
                Some(message) => target.dispatch(message).await,
                None => return,
            },
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

impl Stopped {
    fn say(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.say();
    }
}

impl Target {
    async fn dispatch(&self, message: Message) {
        match self {
            Self::Endpoint(endpoint) => endpoint.dispatch(message).await,
            Self::Instance(instance) => instance.dispatch(message).await,
        }
    }
}

impl Instance {
    async fn dispatch(&self, message: Message) {
        let name = message.subject.strip_prefix(self.base.as_str());
        let endpoint = self
            .endpoints
            .iter()
            .find(|endpoint| name == Some(endpoint.method.name));
        match endpoint {
            Some(endpoint) => endpoint.dispatch(message).await,
            None => {
                let text = format!(
                    "{} has no method `{}`",
                    self.service.full_name,
                    name.unwrap_or_default()
                );
                let status = Status::from_runtime(Code::Unimplemented, Reason::NoSuchMethod, text);
                if let Some(reply) = self.shared.reply_subject(&message, self.service.full_name) {
                    self.shared
                        .answer(reply, Err(status), Metadata::new())
                        .await;
                }
            }
        }
    }
}

impl Endpoint {
    async fn dispatch(self: &Arc<Self>, message: Message) {
        let received = Instant::now();
        let reply = match &message.reply {
            None => None,
            Some(_) => match self.shared.reply_subject(&message, self.method.full_name) {
                Some(reply) => Some(reply),
                None => return,
            },
        };
        match self.admit(message, received) {
            Ok(call) => call.start(reply).await,
            Err(status) => {
                tracing::debug!(method = self.method.full_name, %status, "refused a request");
                if let Some(reply) = reply {
                    self.shared
                        .answer(reply, Err(status), Metadata::new())
                        .await;
                }
                let micros = || received.elapsed().as_micros();
                tracing::trace!(
                    method = self.method.full_name,
                    micros = micros(),
                    "answered"
                );
            }
        }
    }

    /// Reads the headers, takes a permit and makes the call; nothing of the handler runs yet.
    fn admit(self: &Arc<Self>, message: Message, received: Instant) -> Result<Call, Status> {
        let mut timeout = self.options.timeout;
        let mut metadata = Metadata::new();
        let mut trace = None;
        if let Some(headers) = &message.headers {
            wire::check_content_type(headers)?;
            if let Some(told) = wire::decode_timeout(headers)? {
                timeout = told;
            }
            metadata = wire::decode_metadata(headers)?;
            trace = wire::trace_headers(headers);
        }
        let timeouts = self.shared.timeouts;
        if timeout < timeouts.min {
            return Err(too_short(self.method.full_name, timeout));
        }
        let permit = self.permit()?;
        let deadline = received.checked_add(timeout.min(timeouts.max));
        let ctx = Context::new(self.method, metadata, deadline, trace);
        let future = self.handler.call(ctx.clone(), message.payload);
        Ok(Call::new(permit, ctx, future, received))
    }

    fn permit(self: &Arc<Self>) -> Result<Permit, Status> {
        let name = self.method.full_name;
        let service = || name.strip_suffix(self.method.name).unwrap_or(name);
        let gates = [
            (&self.shared.in_flight, "the server"),
            (&*self.service_in_flight, service().trim_end_matches('.')),
            (&self.in_flight, name),
        ];
        for (index, (gate, who)) in gates.iter().enumerate() {
            if !gate.enter() {
                gates[..index].iter().for_each(|(gate, _)| gate.leave());
                self.meters.shed();
                return Err(overloaded(who, gate.limit));
            }
        }
        Ok(Permit(Arc::clone(self)))
    }
}

impl Shared {
    /// Where the answer goes; `None`, with a word in the log, if no answer may be sent there.
    ///
    /// Publishing wherever a caller says would lend him the rights of this service.
    fn reply_subject(&self, message: &Message, name: &'static str) -> Option<Subject> {
        let reply = message.reply.as_ref()?;
        let is_allowed = self
            .reply_prefixes
            .iter()
            .any(|prefix| reply.starts_with(prefix.as_str()));
        if !is_allowed {
            observe::dropped(name);
            tracing::warn!(
                method = name,
                %reply,
                "dropped a request: its reply subject is outside the allowed prefixes"
            );
            return None;
        }
        Some(reply.clone())
    }
}

impl Gate {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            running: AtomicUsize::new(0),
        }
    }

    fn enter(&self) -> bool {
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit {
            self.leave();
            return false;
        }
        true
    }

    fn leave(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.leave();
        self.0.service_in_flight.leave();
        self.0.shared.in_flight.leave();
    }
}

fn overloaded(who: &str, limit: usize) -> Status {
    Status::from_runtime(
        Code::ResourceExhausted,
        Reason::Overloaded,
        format!("{who} runs {limit} calls already, its limit"),
    )
    .with_detail(&RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: 0,
            nanos: RETRY_AFTER_MS * 1_000_000,
        }),
    })
}

fn too_short(name: &str, timeout: Duration) -> Status {
    Status::from_runtime(
        Code::DeadlineExceeded,
        Reason::Deadline,
        format!("{timeout:?} is less than this server takes calls of {name} for"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_as_many_as_its_limit() {
        let gate = Gate::new(2);
        assert!(gate.enter());
        assert!(gate.enter());
        assert!(!gate.enter());
        gate.leave();
        assert!(gate.enter());
        assert!(!Gate::new(0).enter());
    }
}
