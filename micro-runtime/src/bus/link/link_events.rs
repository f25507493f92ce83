//! `LinkEvents`: what async-nats reports of one physical connection beside messages.

use std::sync::Arc;

use async_nats::{Event, ServerError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::connection_counts::ConnectionCounts;
use crate::bus::link::link_logs::LinkLogs;
use crate::bus::link::link_traffic::LinkTraffic;
use crate::bus::refusal::Refusal;
use crate::bus::refusal_queue::{ConnectionReport, ReportSender, report_queue};

/// Events of one physical connection. async-nats reports them through a callback that is fixed before it connects, and
/// drops events while 128 wait: the end of the inbox's subscription shows a loss as well.
pub(in crate::bus) struct LinkEvents {
    reports: ReportSender,
    lost: CancellationToken,
    leaving: CancellationToken,
    counts: Arc<ConnectionCounts>,
    logs: Arc<LinkLogs>,
    traffic: Arc<LinkTraffic>,
}

impl LinkEvents {
    /// Returns the events of a connection, and the queue of its refusals for the task that reads them.
    pub(in crate::bus) fn new(
        counts: &Arc<ConnectionCounts>,
        logs: &Arc<LinkLogs>,
    ) -> (Self, mpsc::Receiver<ConnectionReport>) {
        let (reports, received) = report_queue();
        let events = Self {
            reports,
            lost: CancellationToken::new(),
            leaving: CancellationToken::new(),
            counts: Arc::clone(counts),
            logs: Arc::clone(logs),
            traffic: Arc::default(),
        };
        (events, received)
    }

    /// Handles one event in async-nats's task, so it must not wait. Refusals are only queued.
    pub(super) fn on_event(&self, event: &Event) {
        let report = match event {
            Event::ServerError(ServerError::Other(text)) => ConnectionReport::Error(text.clone()),
            _ => ConnectionReport::Other,
        };
        let _ = self.reports.try_send(report);
        match event {
            Event::Disconnected | Event::Closed => self.lost.cancel(),
            Event::LameDuckMode => self.leaving.cancel(),
            Event::SlowConsumer(id) => self.counts.lost_message_of(*id),
            Event::ServerError(ServerError::Other(text)) => {
                // One of no known form may come before NATS ends the connection.
                if matches!(Refusal::parse(text), Refusal::Other(_)) {
                    self.traffic.explain();
                }
            }
            Event::Connected => {}
            // async-nats tries once more behind a loss, which leads nowhere (`connect`).
            Event::ClientError(_) => {}
            event => {
                self.traffic.explain();
                self.logs.event(event);
            }
        }
    }

    /// Returns the token that is canceled once the nats-server says that it is about to stop.
    pub(in crate::bus) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Returns what is known of the link's end.
    pub(super) fn traffic(&self) -> &Arc<LinkTraffic> {
        &self.traffic
    }

    /// Returns the logs of the connection.
    pub(super) fn logs(&self) -> &Arc<LinkLogs> {
        &self.logs
    }

    /// Returns the token that is canceled once the connection is lost.
    pub(in crate::bus) fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}
