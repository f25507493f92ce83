//! Bearer tokens in the header `authorization`: the server requires one, the client adds it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use micro_runtime::Status;
use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use tower::{Layer, Service};

const HEADER: &str = "authorization";
const SCHEME: &str = "Bearer ";

/// Server layer that rejects calls without the right token.
#[derive(Clone, Debug)]
pub struct RequireBearerToken(Token);

/// Service that [`RequireBearerToken`] wraps around the next one.
#[derive(Clone, Debug)]
pub struct RequireBearerTokenService {
    token: Token,
    next: Next,
}

/// Client layer that adds the token to every call.
#[derive(Clone, Debug)]
pub struct AddBearerToken(Token);

/// Service that [`AddBearerToken`] wraps around the next one.
#[derive(Clone, Debug)]
pub struct AddBearerTokenService {
    token: Token,
    next: Next,
}

/// A secret that its `Debug` output hides.
#[derive(Clone)]
struct Token(Arc<str>);

impl RequireBearerToken {
    /// Requires `token`, which does not include the prefix `Bearer`.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(Token(token.into()))
    }
}

impl Layer<Next> for RequireBearerToken {
    type Service = RequireBearerTokenService;

    fn layer(&self, next: Next) -> RequireBearerTokenService {
        let token = self.0.clone();
        RequireBearerTokenService { token, next }
    }
}

impl Service<Request> for RequireBearerTokenService {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        match check(&request, &self.token.0) {
            Ok(()) => self.next.call(request),
            Err(status) => Box::pin(async { Err(status) }),
        }
    }
}

impl AddBearerToken {
    /// Adds `token`, which does not include the prefix `Bearer`.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(Token(token.into()))
    }
}

impl Layer<Next> for AddBearerToken {
    type Service = AddBearerTokenService;

    fn layer(&self, next: Next) -> AddBearerTokenService {
        let token = self.0.clone();
        AddBearerTokenService { token, next }
    }
}

impl Service<Request> for AddBearerTokenService {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> ResponseFuture {
        let value = format!("{SCHEME}{}", self.token.0);
        match request.metadata_mut().append(HEADER, value) {
            Ok(()) => self.next.call(request),
            Err(status) => Box::pin(async { Err(status) }),
        }
    }
}

fn check(request: &Request, token: &str) -> Result<(), Status> {
    let Some(header) = request.metadata().get(HEADER) else {
        return Err(Status::unauthenticated(format!(
            "send the header `{HEADER}: {SCHEME}<token>`"
        )));
    };
    match header.strip_prefix(SCHEME) {
        Some(sent) if is_equal(sent.as_bytes(), token.as_bytes()) => Ok(()),
        _ => Err(Status::unauthenticated("the token is wrong")),
    }
}

/// Compares in constant time: the duration reveals only the length, not how many bytes are right.
fn is_equal(sent: &[u8], token: &[u8]) -> bool {
    let pairs = sent.iter().zip(token);
    sent.len() == token.len() && pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
