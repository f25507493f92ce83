//! Missing methods of every kind.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo;

#[service]
impl Shapes for Echo {
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }
}

fn main() {
    let _ = ShapesServer::new(Echo);
}
