//! `#[service]` on the subscriber of an event.

use micro_runtime::service;

trait Subscriber<E> {
    fn on_event(&self, event: E);
}

struct Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    fn on_event(&self, _: Trade) {}
}

fn main() {
    Recorder.on_event(Trade);
}
