//! The rolling service before its upgrade, and a client of that time.
#![expect(clippy::print_stdout, reason = "the test reads the lines")]

/// The package as it was.
mod rolling {
    include!(concat!(env!("OUT_DIR"), "/rolling/old/rolling.v1.rs"));
}
#[path = "../rolling/running.rs"]
mod running;

use micro_runtime::{Bus, Context, Status, service};
use rolling::{AddReply, AddRequest, Rolling, RollingClient, RollingServer};

struct Adder;

#[service]
impl Rolling for Adder {
    async fn add(&self, _ctx: Context, request: AddRequest) -> Result<AddReply, Status> {
        Ok(AddReply {
            sum: request.left + request.right,
        })
    }
}

async fn call(client: RollingClient, number: i64) -> Result<(), String> {
    let request = AddRequest {
        left: number,
        right: 1,
    };
    let reply = client
        .add(request)
        .await
        .map_err(|status| status.to_string())?;
    match reply.sum == number + 1 {
        true => Ok(()),
        false => Err(format!("{number} + 1 is not {}", reply.sum)),
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::from_env().await?;
    match running::is_server()? {
        true => running::serve(&bus, RollingServer::new(Adder)).await,
        false => {
            let client: RollingClient = bus.client();
            running::load(move |number| call(client.clone(), number)).await
        }
    }
}
