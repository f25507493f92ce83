//! A clock that depends on nothing but how often it is read.
//!
//! The runtime times handlers and starts slow ones in a task of their own. Callgrind slows a program
//! down by a factor of fifty and the machine may be busy, so with the real clock the same run takes a
//! different path each time, and counts differ by several percent.
#![expect(
    unsafe_code,
    reason = "the symbol of the C library must be replaced, and its argument is a pointer"
)]

use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicI64, Ordering};

/// Time between two readings, in nanoseconds: far below what makes a handler slow.
const STEP: i64 = 100;

/// One day after the epoch of the clock, so that an earlier instant can be computed.
static NOW: AtomicI64 = AtomicI64::new(86_400 * NANOS_PER_SECOND);

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// `struct timespec` of 64-bit Unix systems.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

/// Replaces the C library's function, which `std::time` calls, for all clocks.
// SAFETY: the name and the signature are those of POSIX, and no other definition is linked.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_clock: c_int, time: *mut Timespec) -> c_int {
    let now = NOW.fetch_add(STEP, Ordering::Relaxed);
    // SAFETY: POSIX demands a pointer to a writable `timespec`.
    unsafe {
        time.write(Timespec {
            seconds: now / NANOS_PER_SECOND,
            nanoseconds: now % NANOS_PER_SECOND,
        });
    }
    0
}
