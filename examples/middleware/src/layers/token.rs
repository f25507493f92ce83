//! A bearer token in the header `authorization`: the server demands it, the client carries it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use micro_runtime::Status;
use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use tower::{Layer, Service};

const HEADER: &str = "authorization";
const SCHEME: &str = "Bearer ";

/// Turns calls away that do not carry the token.
#[derive(Clone, Debug)]
pub struct DemandToken(Token);

/// What [`DemandToken`] makes.
#[derive(Clone, Debug)]
pub struct DemandTokenService {
    token: Token,
    next: Next,
}

/// Adds the token to calls.
#[derive(Clone, Debug)]
pub struct CarryToken(Token);

/// What [`CarryToken`] makes.
#[derive(Clone, Debug)]
pub struct CarryTokenService {
    token: Token,
    next: Next,
}

/// A secret, which no debug text shows.
#[derive(Clone)]
struct Token(Arc<str>);

impl DemandToken {
    /// Demands this token, without the `Bearer` before it.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(Token(token.into()))
    }
}

impl Layer<Next> for DemandToken {
    type Service = DemandTokenService;

    fn layer(&self, next: Next) -> DemandTokenService {
        let token = self.0.clone();
        DemandTokenService { token, next }
    }
}

impl Service<Request> for DemandTokenService {
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

impl CarryToken {
    /// Carries this token, without the `Bearer` before it.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(Token(token.into()))
    }
}

impl Layer<Next> for CarryToken {
    type Service = CarryTokenService;

    fn layer(&self, next: Next) -> CarryTokenService {
        let token = self.0.clone();
        CarryTokenService { token, next }
    }
}

impl Service<Request> for CarryTokenService {
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
        Some(shown) if is_same(shown.as_bytes(), token.as_bytes()) => Ok(()),
        _ => Err(Status::unauthenticated("this token is not the one")),
    }
}

/// Compares in a time that says nothing about how much of the token was right.
fn is_same(shown: &[u8], token: &[u8]) -> bool {
    let pairs = shown.iter().zip(token);
    shown.len() == token.len() && pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
