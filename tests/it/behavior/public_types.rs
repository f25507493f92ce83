//! Properties of the public types that hold at compile time.

use micro_runtime::{Bus, Context, RunningServer, Server, Status};
use micro_tests::behavior::BehaviorClient;

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Bus>();
    check::<Server>();
    check::<RunningServer>();
    check::<BehaviorClient>();
    check::<Context>();
    check::<Status>();
    check::<micro_runtime::Error>();
}
