//! Child processes: their output, their signals, and their end with their owner.
#![cfg(unix)]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use micro_testkit::{NatsServer, Process};
use tokio::signal::unix::{SignalKind, signal};

/// Limit for an event that must occur.
const LIMIT: Duration = Duration::from_secs(60);
/// Time for which a test waits for an event that must not occur.
const SHORT_WAIT: Duration = Duration::from_millis(100);
/// Variable that makes the test `owner_process` act as the owner.
const OWNER: &str = "MICRO_TESTKIT_OWNER";
/// Variable that makes the test `interrupted_process` wait for a signal.
const INTERRUPTED: &str = "MICRO_TESTKIT_INTERRUPTED";

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn(command).expect("there is a shell")
}

/// Returns whether a process runs. A zombie, whose parent has not waited for it yet, does not run.
fn is_alive(pid: u32) -> bool {
    let state = if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default()
    } else {
        let pid = pid.to_string();
        let ps = Command::new("ps")
            .args(["-o", "stat=", "-p", &pid])
            .output()
            .expect("there is ps");
        String::from_utf8_lossy(&ps.stdout).trim().to_owned()
    };
    !state.is_empty() && !state.starts_with('Z')
}

fn wait_until(condition: &str, is_met: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_met() {
        assert!(Instant::now() < deadline, "never: {condition}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn wait_for_line_reads_stdout_and_stderr() {
    let mut process =
        shell("echo out; echo error >&2; echo 'listening on 4222'; exec cat /dev/zero");
    let line = process.wait_for_line("listening", LIMIT).await.unwrap();
    assert_eq!(line, "listening on 4222");
    process.wait_for_line("error", LIMIT).await.unwrap();
    assert_eq!(process.stdout().lines().next(), Some("out"));
    assert!(!process.stdout().contains("error") && process.output().contains("error"));
    process.kill().unwrap();
}

#[tokio::test]
async fn a_missing_line_is_an_error_with_the_output() {
    let running = shell("echo hello; exec sleep 600");
    running.wait_for_line("hello", LIMIT).await.unwrap();
    let error = running
        .wait_for_line("goodbye", SHORT_WAIT)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "sh ran 100ms without a line with \"goodbye\"; it printed:\n    hello"
    );

    let ended = shell("echo oh no >&2; exit 3");
    let error = ended
        .wait_for_line_blocking("goodbye", LIMIT)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "sh ended without a line with \"goodbye\"; it printed:\n    oh no"
    );
}

#[tokio::test]
async fn sigterm_and_sigint_end_a_process_with_its_exit_code() {
    let script = "trap 'echo drained; exit 7' TERM INT; echo up; while :; do sleep 0.01; done";
    let mut process = shell(script);
    process.wait_for_line("up", LIMIT).await.unwrap();
    assert!(
        process
            .wait(SHORT_WAIT)
            .await
            .unwrap_err()
            .to_string()
            .contains("still runs after 100ms")
    );
    process.terminate().unwrap();
    assert_eq!(process.wait(LIMIT).await.unwrap().code(), Some(7));
    assert_eq!(process.stdout(), "up\ndrained\n");

    let mut process = again("interrupted_process", INTERRUPTED);
    process.wait_for_line_blocking("up", LIMIT).unwrap();
    process.interrupt().unwrap();
    assert_eq!(process.wait_blocking(LIMIT).unwrap().code(), Some(7));
}

/// Waits for SIGINT; without the variable `INTERRUPTED` it does nothing. No shell script, since a shell cannot trap a
/// signal that was ignored when it was started, and a test that a script runs in the background starts with SIGINT
/// ignored.
#[tokio::test]
async fn interrupted_process() {
    if std::env::var_os(INTERRUPTED).is_some() {
        let mut interrupt = signal(SignalKind::interrupt()).unwrap();
        println!("up");
        interrupt.recv().await;
        std::process::exit(7);
    }
}

/// Runs one test of this binary in a process of its own, which finds `variable` in its environment.
fn again(test: &str, variable: &str) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", test, "--nocapture"]);
    command.env(variable, "1");
    Process::spawn(command).expect("it starts")
}

#[test]
fn a_process_is_killed_on_drop() {
    let process = shell("echo up; exec sleep 600");
    process.wait_for_line_blocking("up", LIMIT).unwrap();
    let pid = process.pid();
    assert!(is_alive(pid));
    drop(process);
    wait_until("the child is dead", || !is_alive(pid));
}

#[test]
fn a_missing_program_is_named() {
    let error = Process::spawn(Command::new("/no/such/program"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot start /no/such/program: "),
        "{error}"
    );
}

/// Runs this test binary again as the owner, and kills it with SIGKILL, so that no destructor runs.
#[test]
fn children_and_folders_of_a_killed_owner_are_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "owner_process", "--nocapture"]);
    command.env(OWNER, "1").env("TMPDIR", scratch.path());
    let mut owner = Process::spawn(command).unwrap();
    let line = owner.wait_for_line_blocking("children: ", LIMIT).unwrap();
    let (_, pids) = line.split_once("children: ").unwrap();
    let pids: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let is_tidy = || fs::read_dir(scratch.path()).unwrap().next().is_none();
    assert!(pids.iter().all(|pid| is_alive(*pid)) && !is_tidy());
    owner.kill().unwrap();
    wait_until("the children are dead", || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
    wait_until("the folder of the server is removed", is_tidy);
}

/// Owner of the test above; without the variable `OWNER` it does nothing.
#[test]
fn owner_process() {
    if std::env::var_os(OWNER).is_some() {
        let child = shell("exec sleep 600");
        let server = NatsServer::start_blocking().unwrap();
        println!("children: {} {}", child.pid(), server.pid().unwrap());
        loop {
            std::thread::park();
        }
    }
}
