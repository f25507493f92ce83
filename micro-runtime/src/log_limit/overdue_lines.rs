//! The task that writes the log lines which limits have held back, one for each runtime, while there are any.

use std::sync::{Mutex, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};

use crate::sync::lock;

/// Interval at which the task looks for lines whose time has come.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The tasks of all runtimes.
static TASKS: Mutex<Tasks> = Mutex::new(Tasks {
    last_number: 0,
    all: Vec::new(),
});

struct Tasks {
    last_number: u64,
    all: Vec<OverdueTask>,
}

/// What one task looks at. A task of each runtime, since each has a clock of its own.
struct OverdueTask {
    /// Distinguishes the tasks of one runtime that follow each other.
    number: u64,
    runtime: Id,
    limits: Vec<Weak<dyn LimitedLine>>,
}

/// A kind of line, which may be held back.
pub(super) trait LimitedLine: Send + Sync {
    /// Writes what was held back, whether or not its time has come.
    fn write_now(&self);

    /// Writes what was held back if its time has come.
    fn write_overdue(&self) -> HeldBack;
}

/// Whether a limit has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldBack {
    Nothing,
    Something,
}

/// Registration of a task. Where the task is dropped, as at the end of its runtime, everything is written that was held
/// back.
struct TaskRegistration(u64);

/// Has the task of the current runtime write what `limit` holds back, once it is due. Returns `false` where there is no
/// runtime.
pub(super) fn schedule(limit: Weak<dyn LimitedLine>) -> bool {
    let Ok(handle) = Handle::try_current() else {
        return false;
    };
    let runtime = handle.id();
    let mut tasks = lock(&TASKS);
    let mut all = tasks.all.iter_mut();
    if let Some(task) = all.find(|task| task.runtime == runtime) {
        task.limits.push(limit);
        return true;
    }
    tasks.last_number += 1;
    let registration = TaskRegistration(tasks.last_number);
    tasks.all.push(OverdueTask {
        number: registration.0,
        runtime,
        limits: vec![limit],
    });
    // A runtime that ends drops the task at once, which takes the lock.
    drop(tasks);
    handle.spawn(async move {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if registration.write_overdue() == HeldBack::Nothing {
                return;
            }
        }
    });
    true
}

impl TaskRegistration {
    /// Writes what is due; ends the registration if nothing is held back any more.
    fn write_overdue(&self) -> HeldBack {
        let mut limits = match lock(&TASKS).get(self) {
            Some(task) => std::mem::take(&mut task.limits),
            None => return HeldBack::Nothing,
        };
        // Without the lock: a line runs code of the program's subscriber.
        limits.retain(|limit| {
            let limit = limit.upgrade();
            limit.is_some_and(|limit| limit.write_overdue() == HeldBack::Something)
        });
        let mut tasks = lock(&TASKS);
        if let Some(task) = tasks.get(self) {
            task.limits.append(&mut limits);
            if !task.limits.is_empty() {
                return HeldBack::Something;
            }
        }
        tasks.all.retain(|task| task.number != self.0);
        HeldBack::Nothing
    }
}

impl Tasks {
    fn get(&mut self, registration: &TaskRegistration) -> Option<&mut OverdueTask> {
        let mut all = self.all.iter_mut();
        all.find(|task| task.number == registration.0)
    }
}

impl Drop for TaskRegistration {
    fn drop(&mut self) {
        let mut tasks = lock(&TASKS);
        let left = tasks.get(self).map(|task| std::mem::take(&mut task.limits));
        tasks.all.retain(|task| task.number != self.0);
        drop(tasks);
        for limit in left.into_iter().flatten() {
            if let Some(limit) = limit.upgrade() {
                limit.write_now();
            }
        }
    }
}
