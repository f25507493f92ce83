//! The tables of what is tested when: the packages of the first tier, the suites of the second, and
//! the slow suites, which run by name only.

use crate::suites::foreign::{GO, JAVA, NODE};
use crate::suites::suite::{IgnoredTests, Step, Suite};
use crate::suites::tool::{NATS_SERVER, OLD_NATS_SERVER, PYTHON};

/// Name of the suite that tests [`FIRST_TIER`].
pub(crate) const FIRST_TIER_NAME: &str = "first-tier";

/// Packages that `cargo xtask test` tests: at most 10 minutes on two cores with nothing built, and
/// without Node, Go, Java or a browser. They are the `default-members` of the workspace.
pub(crate) const FIRST_TIER: &[&str] = &[
    "micro-instructions",
    "micro-build",
    "micro-editions",
    "micro-macros",
    "micro-runtime",
    "discovery",
    "hello",
    "market",
    "metrics-example",
    "middleware",
    "outbox",
    "streams",
    "micro-tests",
    "micro-corpus",
    "micro-corpus-2021",
    "micro-testkit",
    "micro-ui-tests",
    "xtask",
];

/// Tests of `micro-tests` that may run at the same time.
const AT_ONCE: IgnoredTests = IgnoredTests {
    package: "micro-tests",
    binary: "",
    tests: &[],
    is_optimized: false,
    in_turn: false,
};
/// Tests of `micro-tests` that need the machine to themselves, and print figures.
const IN_TURN: IgnoredTests = IgnoredTests {
    in_turn: true,
    ..AT_ONCE
};
/// The same, with optimizations.
const OPTIMIZED: IgnoredTests = IgnoredTests {
    is_optimized: true,
    ..IN_TURN
};

/// Suites that `--full` adds, as `.ci/run` does: with the first tier at most 40 minutes, builds and
/// installations included.
pub(crate) const SECOND_TIER: &[Suite] = &[
    Suite {
        name: "fuzz",
        about: "the fuzz targets, which are workspaces of their own, compile",
        minutes: 3,
        tools: &[],
        steps: &[
            Step::CheckFuzzTargets(&["--manifest-path", "fuzz/Cargo.toml"]),
            Step::CheckFuzzTargets(&["--manifest-path", "micro-build/fuzz/Cargo.toml"]),
        ],
    },
    Suite {
        name: "foreign",
        about: "services and callers in Go, Java and TypeScript that know protobuf and NATS alone",
        minutes: 4,
        tools: &[NATS_SERVER, GO, JAVA, NODE],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "foreign::plain_services::a_plain_service_in_go",
                "foreign::plain_services::a_micro_service_in_go",
                "foreign::plain_callers::a_plain_caller_in_go",
                "foreign::plain_callers::a_large_reply_reaches_a_client_in_go",
                "foreign::plain_services::a_plain_service_in_java",
                "foreign::plain_services::a_micro_service_in_java",
                "foreign::plain_callers::a_plain_caller_in_java",
                "foreign::plain_callers::a_large_reply_reaches_a_client_in_java",
                "foreign::plain_services::a_plain_service_in_typescript",
                "foreign::plain_services::a_micro_service_in_typescript",
                "foreign::plain_callers::a_plain_caller_in_typescript",
                "foreign::plain_callers::a_large_reply_reaches_a_client_in_typescript",
            ],
            ..AT_ONCE
        })],
    },
    Suite {
        name: "one-restart",
        about: "one rolling restart of a cluster in lame duck mode under calls, streams and durable events",
        minutes: 2,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "connection",
            tests: &["rolling_restart::one_round_fails_no_call_and_loses_no_event"],
            ..AT_ONCE
        })],
    },
];

/// Suites that `--slow NAME` runs, as it does those of the second tier: at most 30 minutes each. Their tests carry
/// `#[ignore = "slow: cargo xtask test --slow NAME"]`, and those of the second tier `second tier: …`.
pub(crate) const SLOW: &[Suite] = &[
    Suite {
        name: "durable-cluster",
        about: "durable events while the leader of a cluster is killed under load",
        minutes: 5,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "durable::crash::a_cluster_whose_leaders_are_killed_loses_and_duplicates_no_event",
            ],
            ..AT_ONCE
        })],
    },
    Suite {
        name: "durable-model",
        about: "durable events under random crashes, edits and restarts; MODEL_SEED, one case alone",
        minutes: 20,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "durable::model::twenty_cases_lose_no_event",
                "durable::model::two_hundred_cases_lose_no_event",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "market-cluster",
        about: "the market example while the leader of a cluster is killed under load",
        minutes: 5,
        tools: &[NATS_SERVER, PYTHON],
        steps: &[Step::IgnoredTests(IgnoredTests {
            package: "market",
            binary: "it",
            tests: &["loss::no_event_is_lost_when_the_leader_of_a_cluster_is_killed"],
            ..AT_ONCE
        })],
    },
    Suite {
        name: "outbox",
        about: "the outbox example is killed at each step of an order, a hundred times each",
        minutes: 2,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            package: "outbox",
            binary: "kills",
            tests: &["rows_and_events_agree_after_a_hundred_kills_at_each_step"],
            ..IN_TURN
        })],
    },
    Suite {
        name: "replies",
        about: "1,200,000 calls in each set-up in which a caller could get a reply that is not its own",
        minutes: 25,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "replies",
            tests: &[
                "two_queue_groups",
                "five_instances_without_a_queue_group",
                "a_responder_that_replies_one_to_five_times",
                "cluster::a_cluster_whose_leader_is_killed_ten_times",
                "a_peer_that_sprays_guesses",
                "a_stream_that_captures_the_requests",
            ],
            ..OPTIMIZED
        })],
    },
    Suite {
        name: "program-ends",
        about: "programs that end in each way, a hundred times each: what they have published, and what they log",
        minutes: 20,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "program_ends::a_hundred_programs_that_flush_close_or_are_signaled_lose_no_event",
                "program_ends::a_hundred_programs_that_end_without_a_flush_lose_the_last_events_alone",
                "program_ends::a_hundred_programs_that_end_in_order_log_no_warning",
                "program_ends::a_hundred_signals_at_the_announcement_drain_servers_on_a_busy_machine",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "refusal-floods",
        about: "calls, streams, events, starts and stops while NATS refuses messages of the same connection in a flood",
        minutes: 3,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "refusals::floods::calls_of_all_instances_and_queries_behind_a_burst_fail_at_once",
                "refusals::floods::refused_frames_behind_a_burst_end_their_streams",
                "refusals::floods::refused_frames_of_a_server_end_their_stream_in_a_flood",
                "refusals::floods::events_published_in_a_flood_arrive_in_order",
                "refusals::floods::events_to_a_refused_subject_are_kept_back_for_a_moment_and_counted",
                "refusals::floods::events_arrive_soon_after_their_subject_is_allowed",
                "refusals::floods::calls_in_flight_end_with_the_connection_in_a_flood",
                "refusals::floods_of_servers::a_revoked_subscription_stops_its_server_while_a_flood_goes_on",
                "refusals::floods_of_servers::a_revoked_subscription_stops_its_server_after_a_flood_over_ever_new_subjects",
                "refusals::floods_of_servers::a_revoked_subscription_of_events_ends_while_a_flood_goes_on",
                "refusals::floods_of_servers::starts_in_a_flood_succeed_and_those_that_are_denied_fail_by_name",
                "refusals::floods_of_servers::a_start_in_a_flood_over_ever_new_subjects_succeeds_or_names_the_cause",
                "refusals::floods_of_servers::no_request_is_lost_while_servers_start_and_stop_in_a_flood",
                "refusals::floods_of_servers::no_event_of_a_queue_group_is_lost_while_members_join_and_leave_in_a_flood",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "shutdowns",
        about: "a server is shut down forty times under load: plain, beside a wildcard subscriber, with retries and layers",
        minutes: 2,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &["shutdown::forty_shutdowns_of_each_kind_lose_no_call"],
            ..IN_TURN
        })],
    },
    Suite {
        name: "paused-streams",
        about: "the whole streams suite under paused time in less than 10 s of real time",
        minutes: 1,
        tools: &[],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &["paused_time::suite_time::the_streams_suite_takes_less_than_ten_seconds"],
            ..IN_TURN
        })],
    },
    Suite {
        name: "overload",
        about: "150,000 requests in one burst, at a server, at a service by hand, and beside another server",
        minutes: 8,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "overload",
            tests: &[
                "a_burst_with_handlers_of_20_us",
                "a_burst_with_empty_handlers",
                "another_server_beside_a_burst",
            ],
            ..OPTIMIZED
        })],
    },
    Suite {
        name: "hostile-peers",
        about: "what hostile peers take; HOSTILE_SECONDS (20) of each kind, HOSTILE_ROW one alone",
        minutes: 25,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "hostile",
            tests: &["hostile_peers_take_no_more_than_the_limits"],
            ..OPTIMIZED
        })],
    },
    Suite {
        name: "outages",
        about: "calls, streams and events while NATS is away, frozen, black-holed, half-closed or silent",
        minutes: 5,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "connection",
            tests: &[
                "outages::nats_is_away",
                "outages::nats_is_frozen",
                "outages::a_side_is_black_holed",
                "outages::a_connection_is_closed_in_one_direction",
                "outages::a_connection_is_silent_in_one_direction",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "rolling-restart",
        about: "ten rolling restarts of a cluster in lame duck mode under calls, streams and durable events",
        minutes: 10,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "connection",
            tests: &["rolling_restart::ten_rounds_fail_no_call_and_lose_no_event"],
            ..IN_TURN
        })],
    },
    Suite {
        name: "slow-link",
        about: "messages of 4 MiB for a minute over a link of 1 MB/s, at the caller and at the service",
        minutes: 4,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "connection",
            tests: &[
                "slow_link::large_messages_of_a_minute_at_the_caller",
                "slow_link::large_messages_of_a_minute_at_the_service",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "log-floods",
        about: "the log lines of 50,000 failing handlers, unreadable events, refused replies, slow readers, hostile requests",
        minutes: 10,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "log_floods::fifty_thousand_of_each",
                "overrun_queues::a_subscription_that_loses_messages_is_logged_once",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "malformed-headers",
        about: "requests, replies and stored events that async-nats cannot parse, for 20 s each",
        minutes: 4,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "it",
            tests: &[
                "separate_connections::sustained::requests_at_twenty_a_second",
                "separate_connections::sustained::replies_at_one_and_ten_a_second",
                "separate_connections::sustained::stored_events_at_one_a_second",
                "separate_connections::sustained::requests_on_one_connection",
            ],
            ..IN_TURN
        })],
    },
    Suite {
        name: "soak",
        about: "calls, streams and events under a fault each 20 s; SOAK_MINUTES (10) and SOAK_SEED may be set",
        minutes: 12,
        tools: &[NATS_SERVER],
        steps: &[Step::IgnoredTests(IgnoredTests {
            binary: "connection",
            tests: &["soak::faults_at_random"],
            ..IN_TURN
        })],
    },
    Suite {
        name: "nats-versions",
        about: "the behavior suites on each supported release of nats-server, and one that is too old",
        minutes: 20,
        tools: &[NATS_SERVER, OLD_NATS_SERVER, PYTHON],
        steps: &[
            Step::TestsOnNatsServer("2.11.11", BEHAVIOR_SUITES),
            Step::TestsOnNatsServer("2.12.8", BEHAVIOR_SUITES),
            Step::TestsOnNatsServer("2.14.6", BEHAVIOR_SUITES),
            Step::TestsOnNatsServer("2.15.1", BEHAVIOR_SUITES),
            Step::IgnoredTests(IgnoredTests {
                binary: "it",
                tests: &[
                    "server_versions::a_real_server_that_is_too_old_is_refused_and_warned_of_after_a_reconnect",
                ],
                ..AT_ONCE
            }),
        ],
    },
    Suite {
        name: "bench",
        about: "clippy and the unit tests of the benchmarks, whose peers take long to build",
        minutes: 10,
        tools: &[],
        steps: &[
            Step::Clippy(&["--package", "micro-bench", "--all-targets"]),
            Step::Tests(&["--package", "micro-bench"]),
        ],
    },
];

/// All tests that use a nats-server.
const BEHAVIOR_SUITES: &[&str] = &["--package", "micro-tests", "--test", "it"];

/// Returns one line for each suite of a table: name, minutes and purpose.
pub(crate) fn list(suites: &[Suite]) -> String {
    let lines: Vec<String> = suites
        .iter()
        .map(|suite| {
            let Suite { name, minutes, .. } = suite;
            format!("  {name:16} about {minutes:2} min  {}", suite.about)
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
#[path = "tiers_tests.rs"]
mod tests;
