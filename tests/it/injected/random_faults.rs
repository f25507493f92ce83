//! Random faults under mixed calls: each ends by its deadline with its own reply or an error that a fault of the
//! carrier causes, and no handler runs on a message that no caller sent.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use micro_runtime::faults::{Forgery, MessageKind, Rule};
use micro_runtime::{Code, Status};
use micro_tests::behavior::{Blob, EchoAfterRequest};
use micro_tests::streams::{CountRequest, Item};
use prost::Message as _;

use super::fixture::Injected;

/// Number of buses, each with faults of its own.
const SEEDS: u64 = 200;
/// Number of buses at a time.
const AT_A_TIME: u64 = 10;
/// Timeout of each call that a fault may leave without a reply.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Timeout of the calls that must succeed, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);
/// Time beyond its timeout within which a call must end, on a busy machine too.
const GRACE: Duration = Duration::from_secs(20);
/// Codes of failures of streams, and of messages in parts, that loss, delay, repetition and order can cause.
const ALLOWED: [Code; 5] = [
    Code::DeadlineExceeded,
    Code::DataLoss,
    Code::Unavailable,
    Code::Canceled,
    // Two instances accept one opening, or an offer is no longer there.
    Code::Internal,
];

/// Numbers of calls: those that must succeed, since no fault of their bus can end them, and failures of the others.
#[derive(Debug, Default)]
struct OutcomeCounts {
    unary: u64,
    whole_streams: u64,
    failed: u64,
}

/// Class of a call by the faults that can end it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallClass {
    /// One request and one reply: lost messages.
    Unary,
    /// A stream, or a message in parts: also those out of order, and a second opening.
    Stream,
}

/// Classes of calls that the faults of a bus can end.
#[derive(Clone, Copy, Default)]
struct Harm {
    unary: bool,
    streams: bool,
}

impl Harm {
    fn ends(self, class: CallClass) -> bool {
        match class {
            CallClass::Unary => self.unary,
            CallClass::Stream => self.streams,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_ends_with_its_own_reply_or_an_allowed_error() {
    let mut counts = OutcomeCounts::default();
    for first in (0..SEEDS).step_by(AT_A_TIME as usize) {
        let runs = (first..first + AT_A_TIME).map(|seed| tokio::spawn(run(seed)));
        for run in join_all(runs).await {
            let run = run.unwrap();
            counts.unary += run.unary;
            counts.whole_streams += run.whole_streams;
            counts.failed += run.failed;
        }
    }
    // Both kinds of buses occur, and the faults of the lossy ones are felt.
    println!("{counts:?}");
    assert!(counts.unary > SEEDS, "{counts:?}");
    assert!(counts.whole_streams > SEEDS / 2, "{counts:?}");
    assert!(counts.failed > SEEDS / 10, "{counts:?}");
}

/// Makes mixed calls at once on a bus with this seed.
async fn run(seed: u64) -> OutcomeCounts {
    let injected = Injected::start(seed, seed % 2 == 1).await;
    let mut random = Random(seed);
    let harm = add_rules(&injected, &mut random);
    let mut sent = HashSet::new();
    let calls = (0..12).map(|number| mixed_call(&injected, number, harm, &mut random, &mut sent));
    let calls: Vec<_> = calls.collect();
    let calls = calls.into_iter().map(|(class, call)| async move {
        let limit = timeout(harm, class) + GRACE;
        let ended = tokio::time::timeout(limit, call).await;
        let result = ended.unwrap_or_else(|_| panic!("seed {seed}: a call outlived its deadline"));
        (class, result)
    });
    let (results, ()) = tokio::join!(join_all(calls), forge(&injected));
    for payload in injected.handled.lock().unwrap().iter() {
        // A stream whose messages follow in frames opens without one.
        let is_known = payload.is_empty() || sent.contains(&payload[..]);
        assert!(is_known, "seed {seed}: a handler ran on {payload:?}");
    }
    let mut counts = OutcomeCounts::default();
    for (class, result) in results {
        if !harm.ends(class) {
            assert!(result.is_ok(), "seed {seed}: no fault ends it: {result:?}");
            match class {
                CallClass::Unary => counts.unary += 1,
                CallClass::Stream => counts.whole_streams += 1,
            }
        } else if let Err(status) = result {
            let is_allowed = match class {
                CallClass::Unary => status.code() == Code::DeadlineExceeded,
                CallClass::Stream => ALLOWED.contains(&status.code()),
            };
            assert!(is_allowed, "seed {seed}: {status}");
            counts.failed += 1;
        }
    }
    counts
}

/// Returns the timeout of a call on a bus with such faults.
fn timeout(harm: Harm, class: CallClass) -> Duration {
    match harm.ends(class) {
        true => TIMEOUT,
        false => LONG,
    }
}

/// Returns a call whose messages no other call has, and adds its request to `sent`.
fn mixed_call<'a>(
    injected: &'a Injected,
    number: u64,
    harm: Harm,
    random: &mut Random,
    sent: &mut HashSet<Vec<u8>>,
) -> (CallClass, BoxFuture<'a, Result<(), Status>>) {
    let own = number.to_be_bytes().to_vec();
    let of_unary = timeout(harm, CallClass::Unary);
    let of_stream = timeout(harm, CallClass::Stream);
    match number % 6 {
        0..3 => {
            let request = EchoAfterRequest {
                data: own,
                microseconds: u32::try_from(random.below(2_000)).unwrap(),
            };
            sent.insert(request.encode_to_vec());
            let call = unary(injected, request, of_unary);
            (CallClass::Unary, call.boxed())
        }
        3 => {
            let request = CountRequest {
                messages: 30,
                size: u32::try_from(number).unwrap(),
                pause_us: 1,
                ..CountRequest::default()
            };
            sent.insert(request.encode_to_vec());
            let call = count(injected, request, of_stream);
            (CallClass::Stream, call.boxed())
        }
        4 => (CallClass::Stream, echo(injected, own, of_stream).boxed()),
        _ => {
            // A large message on some buses: in a debug build it takes as long as all other calls.
            let is_large = number == 5 && random.below(8) == 0;
            let request = Item {
                number: 1,
                data: own.repeat(if is_large { 140_000 } else { 2 }),
                ..Item::default()
            };
            sent.insert(request.encode_to_vec());
            match is_large {
                true => {
                    let call = repeat(injected, request, 2 * of_stream);
                    (CallClass::Stream, call.boxed())
                }
                false => {
                    let call = repeat(injected, request, of_unary);
                    (CallClass::Unary, call.boxed())
                }
            }
        }
    }
}

/// Adds one to three rules with random actions and probabilities, and returns what they can end.
fn add_rules(injected: &Injected, random: &mut Random) -> Harm {
    let mut harm = Harm::default();
    for _ in 0..=random.below(3) {
        let delays = Duration::ZERO..Duration::from_millis(1 + random.below(20));
        let action = random.below(5);
        let rule = match action {
            0 => Rule::drop(">"),
            1 => Rule::delay(">", delays),
            2 => Rule::duplicate(">", 1, delays),
            3 => Rule::duplicate(">", 2, Duration::ZERO..Duration::ZERO),
            _ => Rule::reorder(">"),
        };
        let kinds = [MessageKind::Request, MessageKind::Reply, MessageKind::Frame];
        let kind = kinds[random.below(3) as usize];
        let (is_lost, is_repeated) = (action == 0, action == 2 || action == 3);
        harm.unary |= is_lost;
        harm.streams |= match kind {
            // Openings are independent of each other, and one that comes late harms nothing.
            MessageKind::Request => is_lost || is_repeated,
            // A late ACCEPT is out of order, and a second copy of a frame or of an ACCEPT is ignored.
            _ => !is_repeated,
        };
        let probability = [0.02, 0.1, 0.3][random.below(3) as usize];
        injected
            .faults
            .add(rule.of_kind(kind).with_probability(probability));
    }
    harm
}

/// Forges replies under the subjects of calls, all but the last character of which are right.
async fn forge(injected: &Injected) {
    let forged = Blob {
        data: b"forged".to_vec(),
    };
    let forged = Forgery::new().payload(forged.encode_to_vec());
    for _ in 0..10 {
        for subject in injected.faults.reply_subjects() {
            let next = if subject.ends_with('A') { 'B' } else { 'A' };
            let guess = format!("{}{next}", &subject[..subject.len() - 1]);
            injected.faults.forge(&guess, &forged);
        }
        tokio::task::yield_now().await;
    }
}

async fn unary(
    injected: &Injected,
    request: EchoAfterRequest,
    timeout: Duration,
) -> Result<(), Status> {
    let own = request.data.clone();
    let reply = injected.client.echo_after(request).timeout(timeout).await?;
    assert_eq!(reply.data, own, "the reply of another call");
    Ok(())
}

async fn repeat(injected: &Injected, request: Item, timeout: Duration) -> Result<(), Status> {
    let call = injected.stream_client.repeat(request.clone());
    let reply = call.timeout(timeout).await?;
    assert!(reply == request, "the reply of another call");
    Ok(())
}

async fn count(
    injected: &Injected,
    request: CountRequest,
    timeout: Duration,
) -> Result<(), Status> {
    let own = u64::from(request.size);
    let mut items = injected
        .stream_client
        .count(request)
        .timeout(timeout)
        .await?;
    for number in 0..30 {
        let item = items.message().await?.expect("the stream is whole");
        assert_eq!((item.number, item.data.len() as u64), (number, own));
    }
    assert_eq!(items.message().await?, None);
    Ok(())
}

async fn echo(injected: &Injected, own: Vec<u8>, timeout: Duration) -> Result<(), Status> {
    let call = injected.stream_client.echo().timeout(timeout);
    let (mut sender, mut items) = call.open().await?;
    for number in 0..10 {
        let item = Item {
            number,
            data: own.clone(),
            ..Item::default()
        };
        sender.send(item.clone()).await?;
        assert_eq!(items.message().await?, Some(item));
    }
    sender.finish().await?;
    assert_eq!(items.message().await?, None);
    Ok(())
}

/// Small generator of numbers that depend on the seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
