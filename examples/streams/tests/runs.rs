//! The program as a person starts it.
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
fn runs_inside_one_process() {
    let args = ["--mebibytes", "9", "--count", "9", "--interval", "1"];
    let (ended_well, text) = streams(&args, None);
    assert!(ended_well, "{text}");
    check(&text, "Upload   9.0 MiB");
}

#[tokio::test]
async fn uploads_a_file_over_nats() {
    let nats = NatsServer::start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![3; 3_300_000]).unwrap();
    let path = file.path().to_str().unwrap();
    let (ended_well, text) = streams(
        &[path, "--count", "9", "--interval", "1"],
        Some(&nats.url()),
    );
    assert!(ended_well, "{text}");
    check(&text, "Upload   3.1 MiB");
}

#[test]
fn names_the_file_that_is_not_there() {
    let (ended_well, text) = streams(&["/no/such/file"], None);
    assert!(!ended_well);
    assert!(text.contains("cannot open /no/such/file"), "{text}");
}
