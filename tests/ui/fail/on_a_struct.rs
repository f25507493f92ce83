//! `#[service]` on a struct.

use micro_runtime::service;

#[service]
struct English;

fn main() {
    let _ = English;
}
