//! Calls that always answer: time, overload, retries and middleware, on both carriers alike.

mod deadlines;
mod middleware;
mod overload;
mod retries;
mod rpc;
