//! The error of a connect: the cause for which no server took the connection, and what to do.
//!
//! async-nats returns one error, of the last server that it tried, or of the first one that refused the login. Its kind
//! is `Io` for most causes, so that the cause is read from the errors below it.

use std::error::Error as StdError;
use std::io;

use async_nats::rustls::{AlertDescription, CertificateError, Error as TlsError};
use async_nats::{ConnectErrorKind, ServerError};

use crate::bus::login::Login;
use crate::bus::server_urls::ServerUrls;
use crate::error::{Error, ErrorKind};

/// Ways to log in.
const HOW_TO_LOG_IN: &str = "set `NATS_USER` and `NATS_PASSWORD`, `NATS_TOKEN`, `NATS_CREDS` or `NATS_NKEY` for `Bus::from_env`, or \
     pass user and password by the URL, nats://user:password@host, or by `ConnectOptions`";
/// Remark on a login that is refused.
const URL_HAS_A_TOKEN: &str = "the URL has a user without a password, which was sent as a token";
/// Remark on an attempt that took too long.
const MAY_BE_SIGNING: &str =
    "or the callback of `ConnectOptions::jwt`, which signs the login, has not returned";
/// Advice where the port belongs to something else than NATS.
const NO_NATS: &str = "what listens there is no nats-server, which begins with INFO; check the port: clients use 4222 by default, \
     and 8222 is that of NATS's HTTP monitoring";

/// Returns the error of a connection that no server took.
pub(super) fn not_connected(
    error: async_nats::ConnectError,
    servers: &ServerUrls,
    login: Option<&Login>,
) -> Error {
    let message = format!(
        "cannot connect to NATS at {servers}: {}",
        cause(&error, login)
    );
    let remark = match (error.kind(), login) {
        (ConnectErrorKind::AuthorizationViolation, _) if servers.has_token() => {
            Some(URL_HAS_A_TOKEN)
        }
        (ConnectErrorKind::TimedOut, Some(Login::Jwt(..))) => Some(MAY_BE_SIGNING),
        _ => None,
    };
    let error = Error::new(ErrorKind::Connect, message).with_source(error);
    match remark {
        Some(remark) => error.with_remark(remark),
        None => error,
    }
}

fn cause(error: &async_nats::ConnectError, login: Option<&Login>) -> String {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => match login {
            Some(login) => format!(
                "the server refuses the login ({}): it is wrong, or the server takes another kind of login",
                login.in_words()
            ),
            None => format!(
                "the server refuses the login: it needs one, and none was given; {HOW_TO_LOG_IN}"
            ),
        },
        ConnectErrorKind::Authentication => format!(
            "the login cannot be signed{}; check the nkey seed, the credentials or the callback of the options",
            error.source().map_or_else(String::new, signing_failure)
        ),
        ConnectErrorKind::Dns => "the name of the host cannot be resolved; check it".to_owned(),
        ConnectErrorKind::TimedOut => format!(
            "nothing replied in time (`ConnectOptions::connection_timeout`, 5 s by default): the host is away, or {NO_NATS}; a \
             server with `handshake_first` needs `ConnectOptions::tls_first`"
        ),
        // async-nats reads the files of the options where TLS begins.
        ConnectErrorKind::Tls => format!(
            "TLS cannot begin: {}; check the files of `ConnectOptions::root_certificates` and `client_certificate`, \
             or of `NATS_CA`, `NATS_CERT` and `NATS_KEY`",
            error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string)
        ),
        ConnectErrorKind::Io => error
            .source()
            .map_or_else(|| error.to_string(), source_cause),
        _ => error.to_string(),
    }
}

/// Returns the text of a signing callback that failed, in brackets.
fn signing_failure(source: &(dyn StdError + 'static)) -> String {
    let text = source.to_string();
    let inner = text.strip_prefix("AuthError(");
    let inner = inner.and_then(|inner| inner.strip_suffix(')'));
    format!(" ({})", inner.unwrap_or(&text))
}

fn source_cause(source: &(dyn StdError + 'static)) -> String {
    if let Some(ServerError::Other(text)) = source.downcast_ref() {
        return server_cause(text);
    }
    let Some(error) = source.downcast_ref::<io::Error>() else {
        // async-nats has a text instead of an error where something else than INFO, or nothing, arrives.
        let text = source.to_string();
        return match text.starts_with("expected INFO") {
            true => format!("{NO_NATS} ({text})"),
            false => format!(
                "the connection ended before the server had taken it ({text}); its log has the reason"
            ),
        };
    };
    let below = error.get_ref();
    if let Some(error) = below.and_then(|below| below.downcast_ref::<TlsError>()) {
        return tls_cause(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there; is a nats-server running there? (`ConnectOptions::wait_for_server`, or \
             `MICRO_WAIT_FOR_SERVER` in seconds for `Bus::from_env`, waits for one that starts later)"
                .to_owned()
        }
        // What does not parse.
        io::ErrorKind::InvalidInput => format!("{NO_NATS} ({error})"),
        _ => error.to_string(),
    }
}

/// Returns the cause for an error that the server sent instead of taking the connection.
fn server_cause(text: &str) -> String {
    let is = |known: &str| text.eq_ignore_ascii_case(known);
    if is("maximum connections exceeded") {
        return "the server takes no more connections: its `max_connections` is reached".to_owned();
    }
    if is("maximum account active connections exceeded") {
        return "the account of this login may have no more connections: its limit is reached"
            .to_owned();
    }
    if is("secure connection - tls required") {
        return "the server requires TLS; write tls:// instead of nats://".to_owned();
    }
    let ended_logins = [
        "user authentication expired",
        "user authentication revoked",
        "account authentication expired",
        "authentication expired",
        "authentication timeout",
    ];
    match ended_logins.into_iter().any(is) {
        true => format!("the server refuses the login ({text}); {HOW_TO_LOG_IN}"),
        false => format!("the server refuses the connection: {text}"),
    }
}

fn tls_cause(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(
            CertificateError::UnknownIssuer,
        ) => "the TLS certificate of the server has an issuer that is not known here; name its file by `NATS_CA` or \
             `ConnectOptions::root_certificates`"
            .to_owned(),
        TlsError::InvalidCertificate(flaw) => {
            format!("the TLS certificate of the server is refused: {flaw}")
        }
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure,
        ) => format!(
            "the server needs a TLS certificate of this client, or refuses it ({error}); name its files by `NATS_CERT` and \
             `NATS_KEY`, or `ConnectOptions::client_certificate`"
        ),
        TlsError::InvalidMessage(_) => {
            "the server does not serve TLS there, which tls://, `NATS_CA`, `NATS_CERT` or the options require; write nats:// \
             without these, or enable `tls` at the server"
                .to_owned()
        }
        error => format!("TLS fails: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::ConnectError;

    use super::*;

    /// Causes that a test over a real server does not bring about.
    #[test]
    fn what_the_server_sends_is_the_cause() {
        let check = |sent: &str, part: &str| {
            let source = ServerError::Other(sent.to_owned());
            let error = ConnectError::with_source(ConnectErrorKind::Io, source);
            let text = cause(&error, None);
            assert!(text.contains(part), "{sent}: {text}");
            assert!(!text.contains("running there"), "{text}");
        };
        check("User Authentication Expired", "NATS_CREDS");
        check("user authentication revoked", "refuses the login");
        check("Secure Connection - TLS Required", "tls://");
        check(
            "attempted to connect to route port",
            "attempted to connect to route port",
        );
    }

    #[test]
    fn other_causes_are_named() {
        let check = |error: ConnectError, part: &str| {
            let text = cause(&error, None);
            assert!(text.contains(part), "{error}: {text}");
        };
        let io = |kind| ConnectError::from(io::Error::new(kind, "text"));
        check(io(io::ErrorKind::NetworkUnreachable), "text");
        check(io(io::ErrorKind::ConnectionReset), "text");
        check(
            ConnectError::new(ConnectErrorKind::Authentication),
            "nkey seed",
        );
        check(
            ConnectError::with_source(ConnectErrorKind::Io, "broken pipe"),
            "ended before",
        );
        let tls =
            |error: TlsError| ConnectError::from(io::Error::new(io::ErrorKind::InvalidData, error));
        let expired = TlsError::InvalidCertificate(CertificateError::Expired);
        check(tls(expired), "certificate of the server is refused: ");
        check(tls(TlsError::DecryptError), "TLS fails");
    }
}
