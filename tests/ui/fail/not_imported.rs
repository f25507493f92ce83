//! The service is not imported. The words are rustc's.

use micro_runtime::{Context, Status, service};

/// What `include_proto!` puts into the crate, as far as names go.
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
