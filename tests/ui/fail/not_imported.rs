//! A service trait that is not imported; rustc reports it.

use micro_runtime::{Context, Status, service};

/// The names that `include_proto!` puts into the crate.
mod greeter {
    pub trait Greeter {}

    #[doc(hidden)]
    #[macro_export]
    macro_rules! __micro_greeter_v1_Greeter {
        ($($input:tt)*) => {};
    }
    #[doc(hidden)]
    pub use __micro_greeter_v1_Greeter as Greeter;
}

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, _: String) -> Result<String, Status> {
        Ok(String::new())
    }
}

fn main() {
    let _ = English;
}
