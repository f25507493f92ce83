//! Every way to log in by the options, against a server that takes no other, and again at each connect.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions, ConnectionState, ErrorKind};
use micro_testkit::within;

use super::logins::{NKEY, NKEY_SEED, check_works, nats_with};
use super::operator::Operator;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn every_login_is_taken_by_a_server_that_needs_it() {
    let check = async |config: &str, options: ConnectOptions| {
        let nats = nats_with(config).await;
        let error = Bus::connect(nats.url()).await.unwrap_err();
        assert!(error.to_string().contains("refuses the login"), "{error}");
        check_works(Bus::connect_with(options, nats.url())).await;
    };
    let new = ConnectOptions::new;
    let user = "authorization { user: ada, password: s3cret }";
    check(user, new().user_and_password("ada", "s3cret")).await;
    check("authorization { token: s3cret }", new().token("s3cret")).await;
    let users = format!("authorization {{ users = [ {{ nkey: {NKEY} }} ] }}");
    check(&users, new().nkey(NKEY_SEED)).await;

    let operator = Arc::new(Operator::new());
    let config = operator.config();
    check(&config, new().credentials(operator.credentials())).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user.creds");
    fs::write(&path, operator.credentials()).unwrap();
    check(&config, new().credentials_file(&path)).await;
    let signing = Arc::clone(&operator);
    let options = new().jwt(operator.user_jwt(), move |nonce| {
        let signing = Arc::clone(&signing);
        async move { Ok::<_, std::io::Error>(signing.sign(&nonce)) }
    });
    check(&config, options).await;
}

/// NATS is away while its operator changes, and with it every credentials file.
#[tokio::test]
async fn a_credentials_file_is_read_at_each_connect() {
    let [first, second] = [Operator::new(), Operator::new()];
    let mut nats = nats_with(&first.config()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user.creds");
    fs::write(&path, first.credentials()).unwrap();
    let options = ConnectOptions::new()
        .credentials_file(&path)
        .max_reconnect_delay(SOON);
    let bus = check_works(Bus::connect_with(options, nats.url())).await;
    nats.kill().unwrap();
    until(|| bus.state() == ConnectionState::Disconnected).await;
    nats.set_config(&second.config()).unwrap();
    nats.restart().await.unwrap();
    // The old login is refused, and then there is none for a while.
    until(|| nats.log().contains("authentication error")).await;
    fs::remove_file(&path).unwrap();
    fs::write(&path, second.credentials()).unwrap();
    until(|| bus.state() == ConnectionState::Connected).await;
    check_works(async { Ok(bus) }).await;
}

/// What a signing callback does, by the number of its call.
#[derive(Clone, Copy, Debug)]
enum Signs {
    Well,
    Fails,
    Panics,
    NeverReturns,
}

/// Returns options whose callback does so, and the last of it again and again, and counts its calls.
fn options_that_sign(
    operator: &Arc<Operator>,
    signs: &'static [Signs],
) -> (ConnectOptions, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let (signing, counted) = (Arc::clone(operator), Arc::clone(&calls));
    let options = ConnectOptions::new()
        .max_reconnect_delay(SOON)
        .connection_timeout(Duration::from_millis(500));
    let options = options.jwt(operator.user_jwt(), move |nonce| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        let signs = signs[call.min(signs.len() - 1)];
        let signing = Arc::clone(&signing);
        async move {
            match signs {
                Signs::Well => Ok(signing.sign(&nonce)),
                Signs::Fails => Err("the key store is closed"),
                Signs::Panics => panic!("the key store has burst"),
                Signs::NeverReturns => std::future::pending().await,
            }
        }
    });
    (options, calls)
}

#[tokio::test]
async fn a_signing_callback_is_called_at_each_connect_whatever_it_did_before() {
    let operator = Arc::new(Operator::new());
    let mut nats = nats_with(&operator.config()).await;
    let signs = &[
        Signs::Well,
        Signs::Fails,
        Signs::Panics,
        Signs::NeverReturns,
        Signs::Well,
    ];
    let (options, calls) = options_that_sign(&operator, signs);
    let bus = check_works(Bus::connect_with(options, nats.url())).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    nats.restart().await.unwrap();
    until(|| calls.load(Ordering::SeqCst) == signs.len()).await;
    until(|| bus.state() == ConnectionState::Connected).await;
    check_works(async { Ok(bus) }).await;
}

#[tokio::test]
async fn a_signing_callback_that_fails_the_first_connect_is_named() {
    let operator = Arc::new(Operator::new());
    let nats = nats_with(&operator.config()).await;
    for (signs, named) in [
        (
            &[Signs::Fails][..],
            "cannot be signed (the key store is closed)",
        ),
        (
            &[Signs::Panics],
            "cannot be signed (the signing callback panicked)",
        ),
        (
            &[Signs::NeverReturns],
            "the callback of `ConnectOptions::jwt`",
        ),
    ] {
        let (options, _) = options_that_sign(&operator, signs);
        let connecting = Bus::connect_with(options, nats.url());
        let error = within(LIMIT, connecting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(error.to_string().contains(named), "{signs:?}: {error}");
    }
}
