//! Users of a private nats-server with permissions, and the checks of an outcome that NATS has refused.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use micro_runtime::{Bus, Code, ConnectOptions, Reason, Status};
use micro_testkit::NatsServer;

/// Timeout of the calls that end by it.
pub(super) const SHORT: Duration = Duration::from_secs(3);
/// Maximum time of the fastest of several attempts, each of which ends within a few round trips.
const FAST: Duration = Duration::from_millis(50);
/// Any subject.
pub(super) const ALL: &[&str] = &[">"];

/// Returns what the server of `behavior.v1.Behavior` and its inbox subscribe to, with one pattern of events.
pub(super) const fn service_subscriptions(events: &str) -> [&str; 7] {
    [
        "behavior.v1.Behavior.* q",
        "behavior.v1.Behavior._i.*.>",
        "$SRV.*",
        "$SRV.*.behavior-v1-Behavior",
        "$SRV.*.behavior-v1-Behavior.*",
        "_INBOX.service.>",
        events,
    ]
}

/// One user with what it may subscribe and publish to. Its inbox is `_INBOX.<name>`, its password its name.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: &'static str,
    pub(super) subscribe: Vec<String>,
    pub(super) publish: Vec<String>,
    /// Subjects that it may not publish to all the same.
    pub(super) denied: Vec<String>,
    /// Further lines of its permissions.
    pub(super) more: &'static str,
}

impl User {
    pub(super) fn new(name: &'static str, subscribe: &[&str], publish: &[&str]) -> Self {
        let owned = |subjects: &[&str]| subjects.iter().map(|&text| text.to_owned()).collect();
        Self {
            name,
            subscribe: owned(subscribe),
            publish: owned(publish),
            denied: Vec::new(),
            more: "",
        }
    }

    /// A user who may do everything.
    pub(super) fn any(name: &'static str) -> Self {
        Self::new(name, ALL, ALL)
    }

    /// A client of everything that is published under these subjects.
    pub(super) fn client(publish: &[&str]) -> Self {
        Self::new("client", &["_INBOX.client.>"], publish)
    }

    pub(super) fn denied(self, subjects: &[&str]) -> Self {
        Self {
            denied: subjects.iter().map(|&text| text.to_owned()).collect(),
            ..self
        }
    }

    pub(super) fn with(self, more: &'static str) -> Self {
        Self { more, ..self }
    }
}

/// Returns the configuration of these users.
pub(super) fn config(users: &[User]) -> String {
    let list = |subjects: &[String]| {
        let quoted = subjects.iter().map(|subject| format!("{subject:?}"));
        quoted.collect::<Vec<_>>().join(", ")
    };
    let users = users.iter().map(|user| {
        format!(
            "{{ user: {0}, password: {0}, permissions: {{ subscribe: {{ allow: [{1}] }}, publish: {{ allow: [{2}], deny: [{3}] }} {4} }} }}\n",
            user.name,
            list(&user.subscribe),
            list(&user.publish),
            list(&user.denied),
            user.more,
        )
    });
    format!(
        "authorization {{ users = [\n{}] }}\n",
        users.collect::<String>()
    )
}

/// Starts a nats-server with these users.
pub(super) async fn nats_with(users: &[User]) -> NatsServer {
    let nats = NatsServer::builder().config(&config(users));
    nats.start().await.unwrap()
}

/// Connects as a user.
pub(super) async fn connect(nats: &NatsServer, name: &str) -> Bus {
    let options = ConnectOptions::new()
        .user_and_password(name, name)
        .inbox_prefix(format!("_INBOX.{name}"));
    Bus::connect_with(options, nats.url()).await.unwrap()
}

/// Makes an attempt again until one is fast: on a busy machine some are not, and of those that wait for a time none is.
/// Each has a connection of its own, on which no refusal is remembered.
pub(super) async fn until_fast(nats: &NatsServer, user: &str, attempt: impl AsyncFn(&Bus)) {
    loop {
        let bus = connect(nats, user).await;
        let began = Instant::now();
        attempt(&bus).await;
        if began.elapsed() < FAST {
            return;
        }
    }
}

/// Checks that something is refused, and that the error names the subject and the kind of permission. What has not
/// noticed the refusal ends by its deadline, for another reason; [`until_fast`] checks the time as well.
pub(super) async fn check_refused<T: Debug>(
    outcome: impl IntoFuture<Output = Result<T, Status>>,
    named: &str,
) {
    check_status(&outcome.await.unwrap_err(), named);
}

/// Checks that NATS has refused something, which the error names.
pub(super) fn check_status(status: &Status, named: &str) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert_eq!(status.reason(), Some(Reason::NotPermitted), "{status}");
    assert!(status.message().contains(named), "{status} names {named}");
}
