//! The rolling service after its upgrade, and its client of the same version.
#![expect(clippy::print_stdout, reason = "the test reads the lines")]

/// The package after the upgrade.
mod rolling {
    include!(concat!(env!("OUT_DIR"), "/rolling/new/rolling.v1.rs"));
}
#[path = "../rolling/roles.rs"]
mod roles;

use micro_runtime::{Bus, Context, Reason, Status, service};
use rolling::{AddReply, AddRequest, Rolling, RollingClient, RollingServer};

struct NewAdder;

#[service]
impl Rolling for NewAdder {
    async fn add(&self, _ctx: Context, request: AddRequest) -> Result<AddReply, Status> {
        Ok(AddReply {
            sum: request.left + request.right,
            served_by: "new".into(),
        })
    }

    async fn multiply(&self, _ctx: Context, request: AddRequest) -> Result<AddReply, Status> {
        Ok(AddReply {
            sum: request.left * request.right,
            served_by: "new".into(),
        })
    }
}

async fn call(client: RollingClient, number: i64) -> Result<(), String> {
    let request = AddRequest {
        left: number,
        right: 3,
        note: "from the new client".into(),
    };
    let added = client.add(request.clone()).await;
    let added = added.map_err(|status| status.to_string())?;
    if added.sum != number + 3 {
        return Err(format!("{number} + 3 is not {}", added.sum));
    }
    // Only upgraded servers have this method: until the first of them runs, a call of it has no
    // responders, which is no error here.
    match client.multiply(request).no_retry().await {
        Ok(reply) if reply.sum == number * 3 => Ok(()),
        Ok(reply) => Err(format!("{number} * 3 is not {}", reply.sum)),
        Err(status) if status.reason() == Some(Reason::NoResponders) => Ok(()),
        Err(status) => Err(status.to_string()),
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::from_env().await?;
    match roles::is_server()? {
        true => roles::serve(&bus, RollingServer::new(NewAdder)).await,
        false => {
            let client: RollingClient = bus.client();
            roles::call_until_terminated(move |number| call(client.clone(), number)).await
        }
    }
}
