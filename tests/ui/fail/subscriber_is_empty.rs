//! Nothing that handles the event.

use micro_runtime::{Subscriber, service};
use micro_tests::market::Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {}

fn main() {}
