//! `#[service]` on a module.

use micro_runtime::service;

#[service]
mod handlers {
    pub struct English;
}

fn main() {
    let _ = handlers::English;
}
