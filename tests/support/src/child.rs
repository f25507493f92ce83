//! A child process that ends with its owner, also when the owner is killed hard.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How often a condition that sends no event is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// What can be sent to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Terminate,
    Interrupt,
    Stop,
    Continue,
}

/// Kills the child when dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    watchdog: Option<Child>,
    exit: Option<ExitStatus>,
}

impl Guarded {
    /// Starts `command`. If this process dies without running destructors, a watchdog kills the
    /// child and removes `scratch`.
    pub(crate) fn spawn(command: &mut Command, scratch: Option<&Path>) -> Result<Self, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        // Ctrl-C is for the owner, which may still need the child to end in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command
            .spawn()
            .map_err(|source| Error::io(format!("cannot start {program}"), source))?;
        let watchdog = watch(child.id(), scratch);
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

    /// How it ended, if it has.
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

    /// Waits until it has ended; `None` if it still runs after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let exit = self.exit()?;
            if exit.is_some() || Instant::now() >= deadline {
                return Ok(exit);
            }
            // sleep: the end of a child sends no event that safe code can wait for with a deadline.
            thread::sleep(POLL);
        }
    }

    /// Sends a signal; does nothing if the child has ended. Returns from [`Signal::Stop`] when the
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
        };
        kill_process(pid, unix).map_err(cannot)?;
        if matches!(signal, Signal::Stop) {
            // Its threads stop one by one, after the signal was sent. Should it end instead,
            // NOWAIT leaves that news to `exit`.
            let news = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), news).map_err(cannot)?;
        }
        Ok(())
    }

    /// Windows knows no gentle signals: asking to end is ending.
    #[cfg(not(unix))]
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        match signal {
            Signal::Terminate | Signal::Interrupt => self.kill().map(drop),
            Signal::Stop | Signal::Continue => Err(Error::new(format!(
                "{signal:?} does not exist on this platform"
            ))),
        }
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus, Error> {
        let cannot = |source| Error::io("cannot kill a child", source);
        if let Some(exit) = self.exit()? {
            return Ok(exit);
        }
        self.child.kill().map_err(cannot)?;
        // Until the child is waited for its number belongs to nobody else, so the watchdog, which
        // knows nothing but the number, goes first.
        self.dismiss_watchdog();
        let exit = self.child.wait().map_err(cannot)?;
        self.exit = Some(exit);
        Ok(exit)
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            // It can only fail by being gone, which is what is wanted.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.kill();
        self.dismiss_watchdog();
    }
}

/// A shell that waits for its standard input to close, which happens when this process is gone for
/// whatever reason, and then kills the child.
///
/// The kernel's own way (`PR_SET_PDEATHSIG`) needs unsafe code, and it fires when the *thread* that
/// started the child ends, which in a test binary is every test.
#[cfg(unix)]
fn watch(pid: u32, scratch: Option<&Path>) -> Option<Child> {
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
fn watch(_pid: u32, _scratch: Option<&Path>) -> Option<Child> {
    None
}
