//! A plain NATS client that replies to requests for a schema, with any bytes.

use async_nats::Client;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

/// Replies to `<service>._schema` with `schema` until the task is aborted.
pub(super) async fn respond_with_schema(
    client: &Client,
    service: &str,
    schema: Vec<u8>,
) -> JoinHandle<()> {
    let subject = format!("{service}._schema");
    let mut requests = client.subscribe(subject.clone()).await.unwrap();
    // The reply to a request of this client shows that the subscription is in effect.
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await.unwrap();
    client
        .publish_with_reply(subject, inbox, "".into())
        .await
        .unwrap();
    let responder = client.clone();
    let task = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                let schema = schema.clone().into();
                responder.publish(reply, schema).await.unwrap();
            }
        }
    });
    replies.next().await.unwrap();
    task
}
