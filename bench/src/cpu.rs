//! Processor time of processes, in nanoseconds.

use std::fs;
use std::time::Duration;

use crate::failure::Result;

/// Returns the processor time that the threads of these processes have used. Threads that have ended
/// are not included; the measured processes keep theirs.
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
