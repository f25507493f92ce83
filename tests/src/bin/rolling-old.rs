//! The rolling service before its upgrade, and its client of the same version.
#![expect(clippy::print_stdout, reason = "the test reads the lines")]

/// The package before the upgrade.
mod rolling {
    include!(concat!(env!("OUT_DIR"), "/rolling/old/rolling.v1.rs"));
}
#[path = "../rolling/roles.rs"]
mod roles;

use micro_runtime::{Bus, Context, Status, service};
use rolling::{AddReply, AddRequest, Rolling, RollingClient, RollingServer};

struct OldAdder;

#[service]
impl Rolling for OldAdder {
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
    match roles::is_server()? {
        true => roles::serve(&bus, RollingServer::new(OldAdder)).await,
        false => {
            let client: RollingClient = bus.client();
            roles::call_until_terminated(move |number| call(client.clone(), number)).await
        }
    }
}
