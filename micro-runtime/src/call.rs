//! Calls in the making and their replies: what the methods of generated clients return.

#[doc(inline)]
pub use crate::client::{
    BidirectionalCall, CallAll, ClientStreamingCall, InstanceReply, Replies, Reply, ReplyFuture,
    ServerStreamingCall, UnaryCall, UnaryFuture,
};
#[doc(inline)]
pub use crate::stream::ClientStream;
