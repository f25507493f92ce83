//! `#[service]` on a trait.

use micro_runtime::service;

#[service]
trait Greeter {
    fn say_hello(&self);
}

fn main() {}
