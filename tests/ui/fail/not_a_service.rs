//! `#[service]` on an impl of a trait that is no service. The words are rustc's.

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
