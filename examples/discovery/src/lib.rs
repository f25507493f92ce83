//! A shop whose services come and go, and the table that shows them.

pub mod demo;
pub mod table;

/// What micro-build made of `proto/shop.proto`.
pub mod shop {
    micro_runtime::include_proto!("shop.v1");
}
