//! Deadlines, overload, retries and middleware of unary calls, on both carriers.

mod deadlines;
mod middleware;
mod overload;
mod polled_often;
mod retries;
mod rpc_attribute;
