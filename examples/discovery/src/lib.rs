//! A shop whose instances start and stop, and the table that shows them.

pub mod demo;
pub mod shop;
pub mod table;
