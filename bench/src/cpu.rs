//! The processor time that processes have used, to the nanosecond.

use std::fs;
use std::time::Duration;

use crate::Result;

/// What all threads of these processes have used so far. Threads that have ended do not count; the
/// processes here keep theirs.
pub(crate) fn used(pids: &[u32]) -> Result<Duration> {
    let mut nanoseconds = 0;
    for pid in pids {
        let folder = format!("/proc/{pid}/task");
        let threads =
            fs::read_dir(&folder).map_err(|error| format!("cannot read {folder}: {error}"))?;
        for thread in threads {
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let on_cpu = text.split(' ').next().unwrap_or_default();
            nanoseconds += on_cpu.trim().parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}
