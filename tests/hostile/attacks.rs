//! Attacks by requests in one message.

use bytes::Bytes;
use micro_runtime::codegen::prost::Message as _;
use micro_tests::behavior::{Blob, EchoAfterRequest, FillRequest, WaitRequest};
use micro_tests::json::Everything;

pub(crate) use crate::peer::Attack;
use crate::peer::{Attacker, headers};

const ECHO: &str = "behavior.v1.Behavior.Echo";
/// Length of a payload for which headers leave room in a message of 1 MiB.
const ALMOST_1_MIB: usize = 1_000_000;

fn blob(len: usize) -> Bytes {
    Blob {
        data: vec![b'x'; len],
    }
    .encode_to_vec()
    .into()
}

/// Calls whose time is over before their turn.
pub(crate) async fn short_deadlines(peer: &mut Attacker) {
    let payload = blob(10);
    while peer.goes_on() {
        peer.request(ECHO, headers([("Micro-Timeout", "100")]), payload.clone())
            .await;
    }
}

/// Calls of a method that runs once at a time.
pub(crate) async fn calls_one_at_a_time(peer: &mut Attacker) {
    let payload: Bytes = WaitRequest { milliseconds: 1 }.encode_to_vec().into();
    while peer.goes_on() {
        let method = "behavior.v1.Behavior.WaitSerially";
        peer.request(
            method,
            headers([("Micro-Timeout", "3600000")]),
            payload.clone(),
        )
        .await;
    }
}

/// Large requests whose handlers wait.
pub(crate) async fn waiting_calls(peer: &mut Attacker) {
    let request = EchoAfterRequest {
        data: vec![1; 200_000],
        microseconds: 2_000_000,
    };
    let payload = Bytes::from(request.encode_to_vec());
    while peer.goes_on() {
        let method = "behavior.v1.Behavior.EchoAfter";
        peer.request(method, headers([]), payload.clone()).await;
    }
}

/// The same from 10,000 inboxes.
pub(crate) async fn forged_inboxes(peer: &mut Attacker) {
    let request = EchoAfterRequest {
        data: vec![1; 20_000],
        microseconds: 2_000_000,
    };
    let payload = Bytes::from(request.encode_to_vec());
    while peer.goes_on() {
        let reply = format!("_INBOX.forged{}.{}", peer.sent() % 10_000, peer.sent());
        let method = "behavior.v1.Behavior.EchoAfter";
        peer.request_from(method, reply, headers([]), payload.clone())
            .await;
    }
}

/// Replies of more than a message, which are not taken.
pub(crate) async fn offers_that_are_not_taken(peer: &mut Attacker) {
    let payload: Bytes = FillRequest { bytes: 3_500_000 }.encode_to_vec().into();
    while peer.goes_on() {
        let method = "behavior.v1.Behavior.Fill";
        peer.request(method, headers([]), payload.clone()).await;
    }
}

/// Requests of 1 MB of headers: one name with many values, and many names.
pub(crate) async fn much_metadata(peer: &mut Attacker) {
    let names: Vec<String> = (0..40_000).map(|number| format!("name-{number}")).collect();
    let many_names = headers(names.iter().map(|name| (&**name, "value")));
    let one_name = headers((0..80_000).map(|_| ("name", "value")));
    while peer.goes_on() {
        for headers in [&many_names, &one_name] {
            peer.request(ECHO, headers.clone(), blob(10)).await;
            tokio::task::yield_now().await;
        }
    }
}

/// Requests whose handlers make a call each, with 500 kB of baggage.
pub(crate) async fn much_baggage(peer: &mut Attacker) {
    let baggage = "x".repeat(500_000);
    let payload: Bytes = WaitRequest { milliseconds: 0 }.encode_to_vec().into();
    while peer.goes_on() {
        let method = "behavior.v1.Behavior.Relay";
        peer.request(method, headers([("baggage", &*baggage)]), payload.clone())
            .await;
        tokio::task::yield_now().await;
    }
}

/// Requests of every flaw.
pub(crate) async fn garbage(peer: &mut Attacker) {
    while peer.goes_on() {
        peer.request(ECHO, headers([]), Bytes::from_static(&[0xff; 20]))
            .await;
        peer.request(
            ECHO,
            headers([("Content-Type", "application/json")]),
            "[{".into(),
        )
        .await;
        peer.request(ECHO, headers([("Content-Type", "text/html")]), blob(10))
            .await;
        peer.request(ECHO, headers([("Micro-Timeout", "soon")]), blob(10))
            .await;
        peer.request(
            ECHO,
            headers([("Micro-Stream", "v=9;w=-1;hb=1e99")]),
            blob(10),
        )
        .await;
        peer.request(
            "behavior.v1.Behavior._i._all.Nothing2",
            headers([]),
            blob(10),
        )
        .await;
        let elsewhere = "behavior.v1.Behavior.Echo".to_owned();
        peer.request_from(ECHO, elsewhere, headers([]), blob(10))
            .await;
    }
}

/// Cancellations of calls that do not exist.
pub(crate) async fn forged_cancellations(peer: &mut Attacker) {
    let payload = Bytes::from(vec![b'A'; 1000]);
    while peer.goes_on() {
        let subject = "behavior.v1.Behavior._i._all._cancel";
        let sending = peer.client.publish(subject, payload.clone());
        sending.await.unwrap();
        peer.count(1000).await;
    }
}

/// Requests of 1 MB that take far more memory once they are decoded.
pub(crate) async fn large_protobuf(peer: &mut Attacker) {
    // Each of these takes two bytes, and some hundred in memory.
    let request = Everything {
        parts: vec![Everything::default(); ALMOST_1_MIB / 3],
        ..Everything::default()
    };
    let payload = Bytes::from(request.encode_to_vec());
    drop(request);
    while peer.goes_on() {
        peer.request("json.v1.Mirror.Show", headers([]), payload.clone())
            .await;
        tokio::task::yield_now().await;
    }
}

/// The same in JSON, with much nesting, too.
pub(crate) async fn large_json(peer: &mut Attacker) {
    let wide = format!(
        r#"{{"parts":[{}{{}}]}}"#,
        "{},".repeat(ALMOST_1_MIB / 3 - 10)
    );
    let deep = r#"{"inner":"#.repeat(ALMOST_1_MIB / 9);
    while peer.goes_on() {
        for text in [&wide, &deep] {
            let payload = Bytes::from(text.clone().into_bytes());
            let headers = headers([("Content-Type", "application/json")]);
            peer.request("json.v1.Mirror.Show", headers, payload).await;
            tokio::task::yield_now().await;
        }
    }
}

/// 20,000 requests of 1 MiB while handlers block all threads of the server.
pub(crate) async fn requests_of_1_mib_at_blocked_threads(peer: &mut Attacker) {
    let blocking: Bytes = WaitRequest { milliseconds: 1000 }.encode_to_vec().into();
    let payload = blob(ALMOST_1_MIB);
    for number in 0..20_000 {
        if number % 500 == 0 {
            for _ in 0..2 {
                let method = "behavior.v1.Behavior.Spin";
                peer.request(method, headers([]), blocking.clone()).await;
            }
        }
        peer.request(ECHO, headers([]), payload.clone()).await;
        if !peer.goes_on() {
            break;
        }
    }
    peer.client.flush().await.unwrap();
}
