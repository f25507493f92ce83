//! Core events, seen by their users, on both carriers.

mod handlers;
mod in_place;
mod streams;
