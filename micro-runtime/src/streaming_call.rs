//! The streaming calls of a generated client. Their types stand; the frames that carry them come
//! with the streams of the protocol, and until then each call says so.

use std::fmt;
use std::future::{IntoFuture, Ready, ready};
use std::marker::PhantomData;

use crate::client::Client;
use crate::status::{Code, Reason, Status};
use crate::streaming::Streaming;

macro_rules! streaming_calls {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[must_use = "a call is made when it is awaited"]
        pub struct $name<Req, Rep> {
            client: Client,
            method: usize,
            messages: PhantomData<fn(Req) -> Rep>,
        }

        impl<Req, Rep> $name<Req, Rep> {
            fn unserved(&self) -> Status {
                let name = self.client.method(self.method).full_name;
                unserved(name)
            }
        }

        impl<Req, Rep> fmt::Debug for $name<Req, Rep> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

streaming_calls! {
    /// A call with one request and many replies.
    ServerStreamingCall
    /// A call with many requests and one reply.
    ClientStreamingCall
    /// A call with many messages both ways.
    BidirectionalCall
}

/// What both sides say of a streaming method as long as streams are not carried.
pub(crate) fn unserved(name: &str) -> Status {
    Status::from_runtime(
        Code::Unimplemented,
        Reason::NoSuchMethod,
        format!("{name} is a streaming method; this version of micro carries unary calls only"),
    )
}

/// Starts a server-streaming call; generated clients use it.
#[doc(hidden)]
pub fn server_streaming<Req, Rep>(
    client: &Client,
    method: usize,
    _request: Req,
) -> ServerStreamingCall<Req, Rep> {
    ServerStreamingCall {
        client: client.clone(),
        method,
        messages: PhantomData,
    }
}

/// Starts a client-streaming call; generated clients use it.
#[doc(hidden)]
pub fn client_streaming<Req, Rep>(client: &Client, method: usize) -> ClientStreamingCall<Req, Rep> {
    ClientStreamingCall {
        client: client.clone(),
        method,
        messages: PhantomData,
    }
}

/// Starts a bidirectional call; generated clients use it.
#[doc(hidden)]
pub fn bidirectional<Req, Rep>(client: &Client, method: usize) -> BidirectionalCall<Req, Rep> {
    BidirectionalCall {
        client: client.clone(),
        method,
        messages: PhantomData,
    }
}

impl<Req, Rep> IntoFuture for ServerStreamingCall<Req, Rep> {
    type Output = Result<Streaming<Rep>, Status>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(Err(self.unserved()))
    }
}

impl<Req, Rep> IntoFuture for ClientStreamingCall<Req, Rep> {
    type Output = Result<Rep, Status>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(Err(self.unserved()))
    }
}

impl<Req, Rep> IntoFuture for BidirectionalCall<Req, Rep> {
    type Output = Result<Streaming<Rep>, Status>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(Err(self.unserved()))
    }
}
