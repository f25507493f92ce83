//! Middleware: `tower` layers around calls, at the server and at the client.
//!
//! A layer sees one service type on both sides: a [`Request`] with the method, the metadata, the
//! deadline and the encoded message goes in, a [`Response`] or a [`Status`] comes out. What the layer
//! wraps is [`Next`]. The layer that is added first is the outermost.
//!
//! Whatever error a layer fails with becomes a `Status`: a `Status` stays itself, `tower`'s timeout is
//! `DEADLINE_EXCEEDED`, its load shedding `RESOURCE_EXHAUSTED`, anything else `UNKNOWN`.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tower::{Layer, Service};

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::lock;

type BoxError = Box<dyn StdError + Send + Sync>;

/// A response to come.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

/// A call on its way in.
#[derive(Clone)]
pub struct Request {
    method: &'static MethodDescriptor,
    metadata: Metadata,
    deadline: Option<Instant>,
    payload: Bytes,
    context: Option<Context>,
    /// What is still to be passed, the next one last.
    stacks: Vec<Next>,
    end: Arc<dyn Terminal>,
}

/// A call on its way out.
#[derive(Clone, Debug)]
pub struct Response {
    payload: Bytes,
    metadata: Metadata,
}

/// The rest of a call: the layers further in, then the handler or the wire. Always ready.
#[derive(Clone)]
pub struct Next(Option<Arc<dyn Stack>>);

/// A service that a layer made; what [`Server::layer`](crate::Server::layer) and its like take.
///
/// There is nothing to implement by hand: any `tower` service of this shape is one.
pub trait Layered: Clone + Send + 'static {
    #[doc(hidden)]
    fn call_once_ready(self, request: Request) -> ResponseFuture;
}

/// What a call runs into behind all layers.
pub(crate) trait Terminal: Send + Sync {
    fn call(&self, request: Request) -> ResponseFuture;
}

/// Layers of one server, service or client, and of its methods.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    all: Vec<BoxLayer>,
    methods: Vec<(String, BoxLayer)>,
}

type BoxLayer = Arc<dyn Fn(Next) -> Next + Send + Sync>;

trait Stack: Send + Sync {
    fn call(&self, request: Request) -> ResponseFuture;
}

/// A service with its state behind a lock, since not every service is `Sync`; it is cloned per call.
struct LockedLayer<S>(Mutex<S>);

impl Request {
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        metadata: Metadata,
        deadline: Option<Instant>,
        payload: Bytes,
        stacks: impl DoubleEndedIterator<Item = Next>,
        end: Arc<dyn Terminal>,
    ) -> Self {
        Self {
            method,
            metadata,
            deadline,
            payload,
            context: None,
            stacks: stacks.rev().collect(),
            end,
        }
    }

    pub(crate) fn with_context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Goes on with the next layer, or at the end of all of them.
    pub(crate) fn proceed(mut self) -> ResponseFuture {
        match self.stacks.pop() {
            Some(Next(Some(stack))) => stack.call(self),
            Some(Next(None)) => self.proceed(),
            None => Arc::clone(&self.end).call(self),
        }
    }

    /// The method that is called.
    #[must_use]
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// What the caller has added.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the caller has added, to be added to.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// When the call must have ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is left until the deadline; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The encoded message.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The context of the call; only at the server.
    #[must_use]
    pub fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }
}

impl Response {
    /// Makes a response, for a layer that answers by itself.
    #[must_use]
    pub fn new(payload: Bytes, metadata: Metadata) -> Self {
        Self { payload, metadata }
    }

    /// The encoded message.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// What the handler has added.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the handler has added, to be added to.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    pub(crate) fn into_parts(self) -> (Bytes, Metadata) {
        (self.payload, self.metadata)
    }
}

impl Service<Request> for Next {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match &self.0 {
            Some(stack) => stack.call(request),
            None => request.proceed(),
        }
    }
}

impl<S> Layered for S
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn call_once_ready(mut self, request: Request) -> ResponseFuture {
        Box::pin(async move {
            poll_fn(|cx| self.poll_ready(cx)).await.map_err(failed)?;
            self.call(request).await.map_err(failed)
        })
    }
}

impl<S: Layered> Stack for LockedLayer<S> {
    fn call(&self, request: Request) -> ResponseFuture {
        let service = lock(&self.0).clone();
        service.call_once_ready(request)
    }
}

impl Layers {
    pub(crate) fn add<L>(&mut self, layer: L)
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.all.push(boxed(layer));
    }

    pub(crate) fn add_for<L>(&mut self, method: impl Into<String>, layer: L)
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.methods.push((method.into(), boxed(layer)));
    }

    /// The layers for all calls, one inside the other. Their state is shared by those calls.
    pub(crate) fn stack(&self) -> Next {
        stacked(self.all.iter())
    }

    /// The layers for one method.
    pub(crate) fn stack_for(&self, method: &str) -> Next {
        let of_method = self.methods.iter().filter(|(name, _)| name == method);
        stacked(of_method.map(|(_, layer)| layer))
    }

    /// The names that were given for methods.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|(name, _)| name.as_str())
    }
}

impl Next {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

fn boxed<L>(layer: L) -> BoxLayer
where
    L: Layer<Next> + Send + Sync + 'static,
    L::Service: Layered,
{
    Arc::new(move |next| Next(Some(Arc::new(LockedLayer(Mutex::new(layer.layer(next)))))))
}

fn stacked<'a>(layers: impl DoubleEndedIterator<Item = &'a BoxLayer>) -> Next {
    layers.rev().fold(Next(None), |next, layer| layer(next))
}

fn failed(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    if error.is::<tower::timeout::error::Elapsed>() {
        return Status::deadline_exceeded("a timeout of the middleware passed");
    }
    if error.is::<tower::load_shed::error::Overloaded>() {
        return Status::resource_exhausted("the middleware sheds load");
    }
    Status::from(error)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method.full_name)
            .field("metadata", &self.metadata)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("all", &self.all.len())
            .field("methods", &self.methods().collect::<Vec<_>>())
            .finish()
    }
}
