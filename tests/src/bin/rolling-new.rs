//! The rolling service after its upgrade, and a client of that time.
#![expect(clippy::print_stdout, reason = "the test reads the lines")]

/// The package as it is.
mod rolling {
    include!(concat!(env!("OUT_DIR"), "/rolling/new/rolling.v1.rs"));
}
#[path = "../rolling/running.rs"]
mod running;

use micro_runtime::{Bus, Context, Reason, Status, service};
use rolling::{AddReply, AddRequest, Rolling, RollingClient, RollingServer};

struct Adder;

#[service]
impl Rolling for Adder {
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
    // Only the new servers know this method: until one runs, nobody serves it, and that is what
    // the upgrade explains.
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
    match running::is_server()? {
        true => running::serve(&bus, RollingServer::new(Adder)).await,
        false => {
            let client: RollingClient = bus.client();
            running::load(move |number| call(client.clone(), number)).await
        }
    }
}
