//! Calls of all instances, and queries of discovery, whose replies are lost, late, repeated or forged.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::call::Replies;
use micro_runtime::faults::{Forgery, MessageKind, Rule};
use micro_runtime::{Code, Reason, RunningServer, Server};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use prost::Message as _;

use super::fixture::{Injected, with_and_without_a_layer};
use crate::until::until;

with_and_without_a_layer! {
    late_replies_of_instances_name_their_instance
    repeated_replies_of_instances_are_taken_once
    a_lost_reply_of_an_instance_is_missing_and_no_other
    forged_replies_to_a_call_of_all_instances_reach_no_other
    a_status_of_nats_is_no_reply_of_an_instance
    an_opening_at_all_instances_is_refused
    repeated_records_are_one_instance
    forged_records_are_no_instances
    a_lost_record_is_missing_and_no_other
}

const MILLISECOND: Duration = Duration::from_millis(1);
/// Stall time that no test waits for.
const LONG: Duration = Duration::from_secs(20);
/// Stall time that ends a call or a query with a lost reply, longer than a busy machine takes for the others.
const STALL: Duration = Duration::from_secs(2);

/// Starts two further instances, and returns the ids of all three.
async fn three_instances(injected: &Injected) -> (Vec<RunningServer>, BTreeSet<String>) {
    let mut servers = Vec::new();
    for _ in 0..2 {
        let server =
            Server::new(&injected.bus).add(BehaviorServer::new(BehaviorHandler::default()));
        servers.push(server.start().await.unwrap());
    }
    let mut ids: BTreeSet<String> = servers
        .iter()
        .map(|server| server.instances()[0].clone())
        .collect();
    ids.insert(injected.server.instances()[0].clone());
    assert_eq!(ids.len(), 3);
    (servers, ids)
}

/// Checks that each of these instances has replied with the request, and nothing else has.
async fn check_replies_of(ids: &BTreeSet<String>, replies: Replies<Blob>, request: &Blob) {
    let replies: Vec<_> = replies.collect().await;
    let found: BTreeSet<String> = replies.iter().map(|reply| reply.instance.clone()).collect();
    assert_eq!(found, *ids);
    for reply in replies {
        assert_eq!(reply.result.unwrap(), *request);
    }
}

async fn late_replies_of_instances_name_their_instance(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    let late = Rule::delay(">", Duration::ZERO..MILLISECOND * 10);
    injected.faults.add(late.of_kind(MessageKind::Reply));
    for number in 0..20 {
        let request = Blob { data: vec![number] };
        let call = injected.client.echo(request.clone()).to_all();
        let replies = call.stall(LONG).expected(3).await.unwrap();
        check_replies_of(&ids, replies, &request).await;
    }
}

async fn repeated_replies_of_instances_are_taken_once(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    let twice = Rule::duplicate(">", 2, Duration::ZERO..Duration::ZERO);
    injected.faults.add(twice.of_kind(MessageKind::Reply));
    for number in 0..20 {
        let request = Blob { data: vec![number] };
        let call = injected.client.echo(request.clone()).to_all();
        let replies = call.stall(LONG).expected(3).await.unwrap();
        let replies: Vec<_> = replies.collect().await;
        assert_eq!(replies.len(), 3);
        let found: BTreeSet<String> = replies.into_iter().map(|reply| reply.instance).collect();
        assert_eq!(found, ids);
    }
    // Those of the last instance come after the last reply that the call takes.
    until(|| injected.bus.unmatched_replies() == 20 * 6).await;
}

async fn a_lost_reply_of_an_instance_is_missing_and_no_other(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    injected
        .faults
        .add(Rule::drop(">").of_kind(MessageKind::Reply).times(1));
    let call = injected.client.echo(Blob::default()).to_all();
    let replies: Vec<_> = call.stall(STALL).expected(3).await.unwrap().collect().await;
    let found: BTreeSet<String> = replies.into_iter().map(|reply| reply.instance).collect();
    assert_eq!(found.len(), 2);
    assert!(found.is_subset(&ids));
    // All replies are lost.
    injected
        .faults
        .add(Rule::drop(">").of_kind(MessageKind::Reply));
    let call = injected
        .client
        .echo(Blob::default())
        .timeout(MILLISECOND * 50);
    let status = call.to_all().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

async fn forged_replies_to_a_call_of_all_instances_reach_no_other(injected: Injected) {
    let (_servers, _) = three_instances(&injected).await;
    let forged = Blob {
        data: b"forged".to_vec(),
    };
    let forged = Forgery::new().payload(forged.encode_to_vec());
    for number in 0..20 {
        let used = injected.faults.reply_subjects();
        for subject in used {
            injected.faults.forge(&subject, &forged);
        }
        let request = Blob { data: vec![number] };
        let call = injected.client.echo(request.clone()).to_all();
        let mut replies = call.stall(LONG).expected(3).await.unwrap();
        let mut count = 0;
        while let Some(reply) = replies.next().await {
            assert_eq!(reply.result.unwrap(), request);
            count += 1;
        }
        assert_eq!(count, 3);
    }
}

async fn a_status_of_nats_is_no_reply_of_an_instance(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    let request = Blob { data: vec![1] };
    for (count, number) in (1..).zip([100, 200, 408, 409]) {
        let status = Forgery::new().status(number, "of NATS");
        let forged = Rule::forge_reply("behavior.v1.Behavior._i._all.Echo", status);
        injected.faults.add(forged);
        let call = injected.client.echo(request.clone()).to_all();
        let replies = call.stall(LONG).expected(3).await.unwrap();
        check_replies_of(&ids, replies, &request).await;
        until(|| injected.bus.unmatched_replies() == count).await;
        injected.faults.clear();
    }
    // The error names it if nothing else replies.
    let absent = injected.bus.clone().with_prefix("absent").unwrap();
    let _monitor = injected.bus.subscribe_raw("absent.>").open().await.unwrap();
    let status = Forgery::new().status(409, "of NATS");
    injected.faults.add(Rule::forge_reply("absent.>", status));
    let call = absent.client::<BehaviorClient>().echo(request);
    let call = call.timeout(MILLISECOND * 50).to_all();
    let status = call.await.map(drop).unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
    assert!(status.message().contains("409 of NATS"), "{status}");
}

/// Each instance would accept it, of a unary method too.
async fn an_opening_at_all_instances_is_refused(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    let replies = injected.faults.add(Rule::pass("_INBOX.forged.*"));
    for header in ["v=2;w=4;b=65536", "v=2;u=1;l=2;w=4;b=65536"] {
        let opening = Forgery::new().header("Micro-Stream", header);
        let opening = opening.reply_to("_INBOX.forged.1");
        let subject = "behavior.v1.Behavior._i._all.Echo";
        injected.faults.forge(subject, &opening);
    }
    until(|| replies.applied() == 2 * ids.len() as u64).await;
    assert!(injected.handled.lock().unwrap().is_empty());
}

async fn repeated_records_are_one_instance(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    let twice = Rule::duplicate(">", 2, Duration::ZERO..MILLISECOND * 5);
    let twice = injected.faults.add(twice.of_kind(MessageKind::Reply));
    let query = injected.bus.discovery().ping().of("behavior.v1.Behavior");
    let pongs = query.stall(LONG).expected(3).await.unwrap();
    let found: Vec<String> = pongs.into_iter().map(|pong| pong.instance.id).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), ids);
    assert_eq!(twice.applied(), 3);
}

async fn forged_records_are_no_instances(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    for payload in [
        &b""[..],
        b"{}",
        b"\xff",
        br#"{"type":"io.nats.micro.v1.ping_response"}"#,
        br#"{"type":"io.nats.micro.v1.info_response","name":"behavior-v1-Behavior","id":"x","version":"1.0.0"}"#,
    ] {
        let forged = Rule::forge_reply("$SRV.>", Forgery::new().payload(payload));
        injected.faults.add(forged);
        let query = injected.bus.discovery().ping().of("behavior.v1.Behavior");
        let pongs = query.stall(LONG).expected(3).await.unwrap();
        let found: BTreeSet<String> = pongs.into_iter().map(|pong| pong.instance.id).collect();
        assert_eq!(found, ids, "{}", payload.escape_ascii());
        injected.faults.clear();
    }
}

async fn a_lost_record_is_missing_and_no_other(injected: Injected) {
    let (_servers, ids) = three_instances(&injected).await;
    injected
        .faults
        .add(Rule::drop(">").of_kind(MessageKind::Reply).times(1));
    let query = injected.bus.discovery().ping().of("behavior.v1.Behavior");
    let pongs = query.stall(STALL).expected(3).await.unwrap();
    let found: BTreeSet<String> = pongs.into_iter().map(|pong| pong.instance.id).collect();
    assert_eq!(found.len(), 2);
    assert!(found.is_subset(&ids));
}
