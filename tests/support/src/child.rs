//! A child process that ends with its owner, also when the owner is killed with SIGKILL.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// Interval at which a condition without an event is checked.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Signal to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Terminate,
    Interrupt,
    Stop,
    Continue,
    Hangup,
    User2,
}

/// Child process that is killed when this handle is dropped.
#[derive(Debug)]
pub(crate) struct GuardedChild {
    child: Child,
    watchdog: Option<Child>,
    exit: Option<ExitStatus>,
}

impl GuardedChild {
    /// Starts `command`. If this process dies without running destructors, a watchdog process kills
    /// the child and removes the folder `scratch`.
    pub(crate) fn spawn(command: &mut Command, scratch: Option<&Path>) -> Result<Self, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        // A process group of its own: Ctrl-C in the terminal reaches the owner alone, which may need the
        // child for an orderly end.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command
            .spawn()
            .map_err(|source| Error::io(format!("cannot start {program}"), source))?;
        let watchdog = spawn_watchdog(child.id(), scratch);
        Ok(Self {
            child,
            watchdog,
            exit: None,
        })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the exit status, or `None` while the child runs.
    pub(crate) fn exit(&mut self) -> Result<Option<ExitStatus>, Error> {
        if self.exit.is_none() {
            self.exit = self
                .child
                .try_wait()
                .map_err(|source| Error::io("cannot wait for a child", source))?;
        }
        if self.exit.is_some() {
            self.dismiss_watchdog();
        }
        Ok(self.exit)
    }

    /// Waits until the child has ended; returns `None` if it still runs after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let exit = self.exit()?;
            if exit.is_some() || Instant::now() >= deadline {
                return Ok(exit);
            }
            // sleep: the end of a child sends no event that safe code can wait for with a deadline.
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sends a signal; does nothing if the child has ended. After [`Signal::Stop`] it returns once the
    /// child has stopped.
    #[cfg(unix)]
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        use rustix::process::{Pid, Signal as Unix, WaitId, WaitIdOptions, kill_process, waitid};

        if self.exit()?.is_some() {
            return Ok(());
        }
        let cannot = |source: rustix::io::Errno| {
            Error::io(format!("cannot send {signal:?} to a child"), source.into())
        };
        let pid = Pid::from_child(&self.child);
        let unix = match signal {
            Signal::Terminate => Unix::TERM,
            Signal::Interrupt => Unix::INT,
            Signal::Stop => Unix::STOP,
            Signal::Continue => Unix::CONT,
            Signal::Hangup => Unix::HUP,
            Signal::User2 => Unix::USR2,
        };
        kill_process(pid, unix).map_err(cannot)?;
        if matches!(signal, Signal::Stop) {
            // The threads stop one by one after the signal is sent. If the child ends instead, NOWAIT
            // leaves its status for `exit` to collect.
            let states = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), states).map_err(cannot)?;
        }
        Ok(())
    }

    /// Windows has no such signals: a request to end kills the child.
    #[cfg(not(unix))]
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        match signal {
            Signal::Terminate | Signal::Interrupt => self.kill().map(drop),
            Signal::Stop | Signal::Continue | Signal::Hangup | Signal::User2 => Err(Error::new(
                format!("{signal:?} does not exist on this platform"),
            )),
        }
    }

    /// Kills the child (SIGKILL) and waits until it has ended.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus, Error> {
        let cannot = |source| Error::io("cannot kill a child", source);
        if let Some(exit) = self.exit()? {
            return Ok(exit);
        }
        self.child.kill().map_err(cannot)?;
        // The watchdog only has the process id, which the system does not reuse before `wait` below, so
        // the watchdog must end first.
        self.dismiss_watchdog();
        let exit = self.child.wait().map_err(cannot)?;
        self.exit = Some(exit);
        Ok(exit)
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            // These fail only if the watchdog has ended, which is the goal.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for GuardedChild {
    fn drop(&mut self) {
        // A destructor cannot report an error.
        let _ = self.kill();
        self.dismiss_watchdog();
    }
}

/// Starts a shell that waits for its standard input to close, which happens however this process ends,
/// and then kills the child.
///
/// The kernel's own mechanism (`PR_SET_PDEATHSIG`) needs unsafe code, and is triggered when the *thread*
/// that started the child ends. A test binary has one thread per test.
#[cfg(unix)]
fn spawn_watchdog(pid: u32, scratch: Option<&Path>) -> Option<Child> {
    const SCRIPT: &str = r#"trap "" INT TERM HUP
        read -r _
        kill -9 "$1"
        if [ -n "$2" ]; then rm -rf -- "$2"; fi"#;
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "micro-testkit-watchdog", &pid.to_string()])
        .arg(scratch.unwrap_or(Path::new("")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

#[cfg(not(unix))]
fn spawn_watchdog(_pid: u32, _scratch: Option<&Path>) -> Option<Child> {
    None
}
