//! `#[rpc]` outside of a `#[service]` impl.

use micro_runtime::rpc;

struct English;

impl English {
    #[rpc(timeout = "5s")]
    fn say_hello(&self) {}
}

fn main() {
    English.say_hello();
}
