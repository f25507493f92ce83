//! Random runs: whatever the wire does to frames, a stream ends, with all messages in order or with an error.

use proptest::collection::vec;
use proptest::prelude::*;

use super::application::Kind;
use super::simulation::{Ending, Fate, HEARTBEAT, Plan, Side, Simulation, is_tick, metadata};
use crate::status::{Code, Status};
use crate::stream::credit::Credit;

/// Maximum number of heartbeats from the last step of a plan to the end of its run. Each end in turn may wait for its
/// open timeout (2 heartbeats) and its idle timeout (3), and for the heartbeat at which it notices that.
const MAX_ENDING_HEARTBEATS: u32 = 2 * (2 + 3 + 1);

fn windows() -> impl Strategy<Value = Credit> {
    let messages = prop_oneof![Just(1_u64), 1..5_u64, Just(64)];
    let bytes = prop_oneof![Just(1_u64), 1..9_u64, 1..3_000_u64, Just(65_536)];
    (messages, bytes).prop_map(|(messages, bytes)| Credit { messages, bytes })
}

fn sides() -> impl Strategy<Value = Side> {
    let length = prop_oneof![0..40_usize, 0..2_000_usize, 700..6_000_usize];
    (windows(), vec(length, 0..14)).prop_map(|(window, lengths)| Side { window, lengths })
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Well),
        1 => Just(Ending::Failing),
        1 => (0..60_usize).prop_map(Ending::Dropped),
        1 => (0..60_usize).prop_map(Ending::Reset),
    ]
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Arrives),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::IsRepeated),
        1 => Just(Fate::IsLate),
        1 => any::<u8>().prop_map(Fate::IsCut),
    ]
}

prop_compose! {
    fn plans(max_faults: usize)(
        kind in prop_oneof![
            Just(Kind::ServerStreaming),
            Just(Kind::ClientStreaming),
            Just(Kind::Bidirectional),
            Just(Kind::LargeReply),
        ],
        ending in endings(),
        max_payload in prop_oneof![Just(1_024_usize), 1_024..1_400_usize, Just(8_192)],
        client in sides(),
        server in sides(),
        headers in prop_oneof![Just(0_usize), 0..900_usize],
        trailers in prop_oneof![Just(0_usize), 0..700_usize],
        steps in vec(any::<u8>(), 0..80),
        fates in vec(fates(), 0..=max_faults),
    ) -> Plan {
        Plan { kind, ending, max_payload, client, server, headers, trailers, steps, fates }
    }
}

/// Checks that the messages received are a prefix of those sent, and all of them if the end is no error.
fn check_received(plan: &Plan, run: &Simulation) {
    for (end, is_client) in [(&run.client, true), (&run.server, false)] {
        let sent = plan.messages(!is_client);
        let received = &end.received;
        assert!(received.len() <= sent.len());
        assert!(received[..] == sent[..received.len()], "other messages");
        let outcome = end.outcome.as_ref().unwrap();
        if outcome.is_ok() {
            assert_eq!(
                received.len(),
                sent.len(),
                "a clean end with messages missing"
            );
        }
        if is_client && plan.ending == Ending::Failing {
            assert!(outcome.is_err(), "a failure was taken for success");
        }
    }
}

/// Checks the result of a run without faults.
fn check_without_faults(plan: &Plan, run: &Simulation) {
    // A client that gets a RESET before ACCEPT waits whether a second server accepts.
    let waits_on = run.client.machine.server_address().is_none();
    assert!(
        run.stalls <= usize::from(waits_on),
        "a step waited for the clock"
    );
    let code = |end: &Result<(), Status>| end.as_ref().err().map(Status::code);
    let client = code(run.client.outcome.as_ref().unwrap());
    let machine = &run.client.machine;
    match plan.ending {
        Ending::Well => {
            assert_eq!(client, None);
            assert_eq!(machine.trailers(), &metadata(plan.trailers));
            assert_eq!(run.client.received, plan.messages(false));
            if matches!(plan.kind, Kind::ClientStreaming) {
                assert_eq!(run.server.received, plan.messages(true));
            }
        }
        Ending::Failing => {
            assert_eq!(client, Some(Code::NotFound));
            assert_eq!(run.client.received, plan.messages(false));
        }
        Ending::Dropped(_) => assert!(matches!(client, None | Some(Code::Canceled))),
        Ending::Reset(_) => assert!(matches!(client, None | Some(Code::Unavailable))),
    }
    let is_open = matches!(plan.ending, Ending::Well | Ending::Failing);
    if is_open && plan.kind != Kind::LargeReply {
        assert_eq!(machine.headers(), Some(&metadata(plan.headers)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        // `PROPTEST_CASES` may set more.
        cases: ProptestConfig::default().cases.max(1_000),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_run_over_a_wire_without_faults_is_complete_without_the_clock(plan in plans(0)) {
        let mut run = Simulation::new(&plan);
        run.run(&plan);
        check_received(&plan, &run);
        check_without_faults(&plan, &run);
    }

    #[test]
    fn every_run_over_a_bad_wire_ends_complete_or_with_an_error(plan in plans(120)) {
        let mut run = Simulation::new(&plan);
        run.run(&plan);
        check_received(&plan, &run);
        let ticks = plan.steps.iter().filter(|step| is_tick(**step)).count() as u32;
        let limit = HEARTBEAT * (ticks + MAX_ENDING_HEARTBEATS);
        prop_assert!(run.lasted() <= limit, "took {:?}", run.lasted());
    }
}
