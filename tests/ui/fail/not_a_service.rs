//! `#[service]` on an impl of a trait that is not a service; rustc reports it.

use std::fmt::{Display, Formatter, Result};

use micro_runtime::service;

struct English;

#[service]
impl Display for English {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("English")
    }
}

fn main() {
    let _ = English;
}
