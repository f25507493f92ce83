//! `InstanceWatch`: notices that the one instance that a unary call is at has died.

use std::future::{pending, poll_fn};
use std::pin::Pin;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::Outgoing;
use crate::client::client::Client;
use crate::status::Reason;
use crate::stream::DEFAULT_HEARTBEAT;
use crate::wire::subject::HEALTH;

/// The wait for the death of an instance.
pub(super) type InstanceWatch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// State of an instance as NATS knows it.
enum Presence {
    Present,
    /// NATS has no subscriber for it.
    Gone,
    /// This user may not ask.
    Unknowable,
}

/// Returns what ends a call of one instance: after each heartbeat without a reply the instance is asked for its health,
/// and NATS reports where nobody is there to ask. `None` for a call of a queue group, and for one whose time ends
/// before.
///
/// A stream has its own PINGs; a unary call of a queue group waits for its deadline, since another instance may have
/// it.
pub(super) fn watch_instance(client: &Client, deadline: Instant) -> Option<InstanceWatch> {
    let instance = client.instance()?.to_owned();
    if deadline.saturating_duration_since(Instant::now()) <= DEFAULT_HEARTBEAT {
        return None;
    }
    let client = client.clone();
    Some(Box::pin(async move {
        until_gone(&client, &instance).await;
    }))
}

async fn until_gone(client: &Client, instance: &str) {
    loop {
        tokio::time::sleep(DEFAULT_HEARTBEAT).await;
        // Services may come back to NATS later than their callers.
        let may_return = client.connection().is_settling();
        let asking = tokio::time::timeout(DEFAULT_HEARTBEAT, ask(client, instance));
        match asking.await.unwrap_or(Presence::Present) {
            Presence::Gone if !may_return => return,
            Presence::Gone | Presence::Present => {}
            Presence::Unknowable => return pending().await,
        }
    }
}

async fn ask(client: &Client, instance: &str) -> Presence {
    let subject = client.base().instance_method(instance, HEALTH);
    let connection = client.connection();
    let Ok((mut slot, reply)) = connection.mux().reserve(&subject) else {
        return Presence::Unknowable;
    };
    let mut outgoing = Outgoing::to(subject, Bytes::new());
    outgoing.reply = Some(reply);
    if connection
        .publish_request(&mut slot, outgoing)
        .await
        .is_err()
    {
        return Presence::Present;
    }
    match poll_fn(|cx| slot.poll(cx)).await {
        Ok(reply) if reply.is_no_responders() => Presence::Gone,
        Err(status) if status.reason() == Some(Reason::NotPermitted) => Presence::Unknowable,
        Ok(_) | Err(_) => Presence::Present,
    }
}
