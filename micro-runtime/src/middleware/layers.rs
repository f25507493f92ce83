//! `Layers`: the layers of one server, service or client, and how they become services.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};

use tower::{Layer, Service};

use crate::error::BoxError;
use crate::middleware::request::{Next, Request, Stack};
use crate::middleware::response::{Response, ResponseFuture};
use crate::status::Status;
use crate::sync::lock;

/// A service that a layer makes around [`Next`]; bound of [`Server::layer`](crate::Server::layer) and its variants.
///
/// There is nothing to implement by hand: every `tower` service from [`Request`] to [`Response`] that is
/// `Clone`, `Send` and `'static` is one, if its error converts into a boxed error.
pub trait Layered: Clone + Send + 'static {
    #[doc(hidden)]
    fn call_once_ready(self, request: Request) -> ResponseFuture;
}

/// Layers of one server, service or client, and of its methods.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    all: Vec<BoxLayer>,
    /// Name of a method as in the .proto, and a layer around its calls.
    methods: Vec<(String, BoxLayer)>,
}

/// A layer without its type. Each call of it makes services with a state of their own.
type BoxLayer = Arc<dyn Fn(Next) -> Next + Send + Sync>;

/// A service that calls clone. It is behind a lock because not every `tower` service is `Sync`; the lock is
/// held for the clone only.
struct LockedLayer<S>(Mutex<S>);

impl<S> Layered for S
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn call_once_ready(mut self, request: Request) -> ResponseFuture {
        Box::pin(async move {
            poll_fn(|cx| self.poll_ready(cx)).await.map_err(status)?;
            self.call(request).await.map_err(status)
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
    /// Returns a layer that fails every call with this status.
    pub(crate) fn failing(status: Status) -> Self {
        Self {
            all: vec![Arc::new(move |_| Next::failing(status.clone()))],
            methods: Vec::new(),
        }
    }

    /// Adds a layer around all calls, inside of those that were added before.
    pub(crate) fn add<L>(&mut self, layer: L)
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.all.push(boxed(layer));
    }

    /// Adds a layer around the calls of one method, inside of those around all calls.
    pub(crate) fn add_for<L>(&mut self, method: impl Into<String>, layer: L)
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Layered,
    {
        self.methods.push((method.into(), boxed(layer)));
    }

    /// Makes the services around all calls. Calls that use the same stack share their state.
    pub(crate) fn stack(&self) -> Next {
        stacked(self.all.iter())
    }

    /// Makes the services around the calls of one method.
    pub(crate) fn stack_for(&self, method: &str) -> Next {
        let of_method = self.methods.iter().filter(|(name, _)| name == method);
        stacked(of_method.map(|(_, layer)| layer))
    }

    /// Returns the names of methods that have layers, whether or not such methods exist.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|(name, _)| name.as_str())
    }
}

fn boxed<L>(layer: L) -> BoxLayer
where
    L: Layer<Next> + Send + Sync + 'static,
    L::Service: Layered,
{
    Arc::new(move |next| Next::of(LockedLayer(Mutex::new(layer.layer(next)))))
}

/// Nests layers, the first outermost.
fn stacked<'a>(layers: impl DoubleEndedIterator<Item = &'a BoxLayer>) -> Next {
    layers.rev().fold(Next::none(), |next, layer| layer(next))
}

/// Converts an error of a layer. A `Status` stays itself, and an error of the system is converted as with `?`; any
/// other is one of the layer, whose text is for the caller: `UNKNOWN`.
fn status(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    if error.is::<tower::timeout::error::Elapsed>() {
        return Status::deadline_exceeded("a timeout of the middleware passed");
    }
    if error.is::<tower::load_shed::error::Overloaded>() {
        return Status::resource_exhausted("the middleware sheds load");
    }
    if error.is::<Status>() || error.is::<io::Error>() {
        return Status::from(error);
    }
    Status::unknown(error.to_string()).with_boxed_source(error)
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("all", &self.all.len())
            .field("methods", &self.methods().collect::<Vec<_>>())
            .finish()
    }
}
