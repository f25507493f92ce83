//! Peers that know nothing of this library, and disturb its calls. The test binary `replies` uses them too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_testkit::NatsServer;
use micro_tests::behavior::{BehaviorClient, Blob, EchoAfterRequest};
use prost::Message as _;
use tokio::task::JoinHandle;

use crate::round_trip::round_trip;
/// Delay of the second and later replies: the slot of their call is in use again by then.
const MAX_REPEAT_DELAY_MS: u64 = 50;
/// Number of guesses in a row.
const GUESSES_IN_A_ROW: u64 = 100;

/// Serves `EchoAfter`, and replies to each request after its delay, one to five times: half of the repeats at once,
/// half of them later.
pub(crate) async fn reply_up_to_five_times(nats: &NatsServer) -> JoinHandle<()> {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut requests = client
        .subscribe("behavior.v1.Behavior.EchoAfter")
        .await
        .unwrap();
    round_trip(&client).await;
    tokio::spawn(async move {
        let mut number = 0;
        while let Some(message) = requests.next().await {
            number += 1;
            let random = mix(number);
            let client = client.clone();
            tokio::spawn(async move {
                let request = EchoAfterRequest::decode(message.payload).unwrap();
                let (data, subject) = (request.data, message.reply.unwrap());
                let payload = Bytes::from(Blob { data }.encode_to_vec());
                // sleep: the caller asks for it.
                tokio::time::sleep(Duration::from_micros(request.microseconds.into())).await;
                for repeat in 0..1 + random % 5 {
                    if repeat > 0 && random & 64 != 0 {
                        let delay = (random >> 8) % MAX_REPEAT_DELAY_MS;
                        // sleep: the delay of the repeats is the disturbance.
                        tokio::time::sleep(Duration::from_millis(delay)).await;
                    }
                    let published = client.publish(subject.clone(), payload.clone());
                    published.await.unwrap();
                }
            });
        }
    })
}

/// A running peer that publishes under guessed reply subjects.
pub(crate) struct Guesser {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Guesser {
    /// Stops it, and returns how many guesses were sent.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Learns one reply subject of the caller, and guesses others from it: those of the first `slots` slots, with nonces
/// near the known one, small ones, and random ones. The known one itself is the last guess: its call has ended.
pub(crate) async fn guess_reply_subjects(nats: &NatsServer, caller: &Bus, slots: u64) -> Guesser {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut known = client.subscribe("behavior.v1.Behavior.Echo").await.unwrap();
    round_trip(&client).await;
    let behavior: BehaviorClient = caller.client();
    behavior.echo(Blob::default()).await.unwrap();
    let subject = known.next().await.unwrap().reply.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let task = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let (inbox, token) = subject.rsplit_once('.').unwrap();
            let token: [u8; 12] = URL_SAFE_NO_PAD.decode(token).unwrap().try_into().unwrap();
            let (_, nonce) = token.split_at(4);
            let nonce = u64::from_be_bytes(nonce.try_into().unwrap());
            let data = b"forged!!".to_vec();
            let forged = Bytes::from(Blob { data }.encode_to_vec());
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..GUESSES_IN_A_ROW {
                    // Each slot gets guesses of each kind.
                    let slot = u32::try_from(sent / 4 % slots).unwrap();
                    let round = sent / 4 / slots;
                    let nonce = match sent % 4 {
                        0 => nonce.wrapping_add(round),
                        1 => nonce.wrapping_sub(round),
                        2 => round,
                        _ => mix(sent),
                    };
                    let token = [&slot.to_be_bytes()[..], &nonce.to_be_bytes()].concat();
                    let guess = format!("{inbox}.{}", URL_SAFE_NO_PAD.encode(token));
                    client.publish(guess, forged.clone()).await.unwrap();
                    sent += 1;
                }
                client.flush().await.unwrap();
                // sleep: the pace of the guesses, which leaves the processor to the calls.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            client.publish(subject.clone(), forged).await.unwrap();
            client.flush().await.unwrap();
            sent + 1
        }
    });
    Guesser { stop, task }
}

/// Declares a stream that stores what is published to these subjects, and acknowledges each request.
pub(crate) async fn capture(bus: &Bus, stream: &str, subjects: &[&str]) {
    let captured = jetstream::stream::Config {
        name: stream.to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        storage: jetstream::stream::StorageType::Memory,
        max_messages: 10_000,
        ..Default::default()
    };
    let jetstream = jetstream::new(bus.nats().unwrap().clone());
    jetstream.create_stream(captured).await.unwrap();
}

/// Deletes a stream.
pub(crate) async fn delete_stream(bus: &Bus, stream: &str) {
    let jetstream = jetstream::new(bus.nats().unwrap().clone());
    jetstream.delete_stream(stream).await.unwrap();
}

/// The mixing function of SplitMix64: a random number that depends on its argument alone.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
