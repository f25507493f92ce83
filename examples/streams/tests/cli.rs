//! The program of the example, started as a newcomer starts it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use micro_testkit::NatsServer;

fn streams(args: &[&str], url: Option<&str>) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streams"));
    command.args(args).env_remove("NATS_URL");
    if let Some(url) = url {
        command.env("NATS_URL", url);
    }
    let output = command.output().unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

fn check(text: &str, uploaded: &str) {
    for line in [
        uploaded,
        "agrees",
        "Count    to 9",
        r#""drawer" -> "reward""#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn all_streaming_kinds_run_in_process() {
    let args = ["--mebibytes", "9", "--count", "9", "--interval", "1"];
    let (is_success, text) = streams(&args, None);
    assert!(is_success, "{text}");
    check(&text, "Upload   9.0 MiB");
}

#[tokio::test]
async fn a_file_is_uploaded_over_nats() {
    let nats = NatsServer::start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![3; 3_300_000]).unwrap();
    let path = file.path().to_str().unwrap();
    let (is_success, text) = streams(
        &[path, "--count", "9", "--interval", "1"],
        Some(&nats.url()),
    );
    assert!(is_success, "{text}");
    check(&text, "Upload   3.1 MiB");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let (is_success, text) = streams(&["/no/such/file"], None);
    assert!(!is_success);
    assert!(text.contains("cannot open /no/such/file"), "{text}");
}
