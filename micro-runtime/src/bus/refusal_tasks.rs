//! `RefusalTasks`: the tasks of a link that reports its events: one reads what NATS refuses, the others ask
//! again where something was lost.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::bus::loss_recovery::LossRecovery;
use crate::bus::probe::Prober;
use crate::bus::refusal_queue::ConnectionReport;
use crate::bus::refusal_reader;

/// The running tasks, which end when this is dropped.
pub(super) struct RefusalTasks {
    reader: AbortHandle,
    pub(super) recovery: LossRecovery,
}

impl RefusalTasks {
    pub(super) fn spawn(reports: mpsc::Receiver<ConnectionReport>, prober: Prober) -> Box<Self> {
        let (refusals, mux) = (Arc::clone(prober.refusals()), Arc::clone(prober.mux()));
        let reading = refusal_reader::run(reports, refusals, mux);
        Box::new(Self {
            reader: tokio::spawn(reading).abort_handle(),
            recovery: LossRecovery::spawn(prober),
        })
    }
}

impl Drop for RefusalTasks {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
