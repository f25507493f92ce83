//! A `Subscriber` without its method.

use micro_runtime::{Subscriber, service};
use micro_ui_tests::market::Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {}

fn main() {}
