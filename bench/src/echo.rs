//! The code of the measured service, from micro-build (`ours`) and from tonic-prost-build (`theirs`).
#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code, one half of it by a peer's generator"
)]

pub(crate) mod ours {
    micro_runtime::include_proto!("bench.v1");
}

pub(crate) mod theirs {
    include!(concat!(env!("OUT_DIR"), "/tonic/bench.v1.rs"));
}
