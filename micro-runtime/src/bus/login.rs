//! `Login`: one way to log in to NATS. It is never printed.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_nats::{Auth, AuthError, ConnectOptions, ServerAddr};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind};
use crate::sync::lock;

/// One way to log in.
#[derive(Clone)]
pub(super) enum Login {
    UserAndPassword(String, String),
    Token(String),
    Credentials(String),
    CredentialsFile(PathBuf),
    Nkey(String),
    /// File with the seed.
    NkeyFile(PathBuf),
    Jwt(String, Arc<SignNonce>),
}

/// Signs the nonce of a server.
pub(super) type SignNonce =
    dyn Fn(Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, SignatureError>> + Send + Sync;

/// Failure of a signing callback: its text.
#[derive(Debug)]
pub(super) struct SignatureError(String);

impl From<Box<dyn StdError + Send + Sync>> for SignatureError {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self(error.to_string())
    }
}

impl Login {
    /// Reads user and password, or a token, from the address of a server, percent-decoded.
    ///
    /// # Errors
    ///
    /// A text if there is a password without a user.
    pub(super) fn of_address(address: &ServerAddr) -> Result<Option<Self>, &'static str> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        match (address.username(), address.password()) {
            (Some(user), Some(password)) => {
                Ok(Some(Self::UserAndPassword(decode(user), decode(password))))
            }
            (Some(token), None) => Ok(Some(Self::Token(decode(token)))),
            (None, Some(_)) => Err("it has a password without a user"),
            (None, None) => Ok(None),
        }
    }

    /// Returns options with this login, for one connect; reads the file that it names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for a file that cannot be read, or is no credentials file.
    pub(super) async fn options(&self) -> Result<ConnectOptions, Error> {
        let options = ConnectOptions::new();
        match self {
            Self::UserAndPassword(user, password) => {
                Ok(options.user_and_password(user.clone(), password.clone()))
            }
            Self::Token(token) => Ok(options.token(token.clone())),
            Self::Credentials(text) => options.credentials(text).map_err(|error| {
                Error::new(ErrorKind::Configuration, "the credentials cannot be read")
                    .with_source(error)
            }),
            Self::CredentialsFile(path) => options
                .credentials_file(path)
                .await
                .map_err(|error| unreadable("credentials", path, error)),
            Self::Nkey(seed) => Ok(options.nkey(seed.clone())),
            Self::NkeyFile(path) => {
                let seed = std::fs::read_to_string(path)
                    .map_err(|error| unreadable("nkey", path, error))?;
                Ok(options.nkey(seed.trim().to_owned()))
            }
            Self::Jwt(jwt, sign) => Ok(signed_by(jwt, sign)),
        }
    }

    /// Returns what the user has given, without any of it.
    pub(super) fn in_words(&self) -> &'static str {
        match self {
            Self::UserAndPassword(..) => "user and password",
            Self::Token(_) => "the token",
            Self::Credentials(_) | Self::CredentialsFile(_) => "the credentials",
            Self::Nkey(_) | Self::NkeyFile(_) => "the nkey",
            Self::Jwt(..) => "the JWT",
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::UserAndPassword(..) => "UserAndPassword",
            Self::Token(_) => "Token",
            Self::Credentials(_) => "Credentials",
            Self::CredentialsFile(_) => "CredentialsFile",
            Self::Nkey(_) => "Nkey",
            Self::NkeyFile(_) => "NkeyFile",
            Self::Jwt(..) => "Jwt",
        }
    }
}

/// Logins of URLs are compared; a callback equals itself alone.
impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::UserAndPassword(a, b), Self::UserAndPassword(c, d)) => (a, b) == (c, d),
            (Self::Token(a), Self::Token(b))
            | (Self::Credentials(a), Self::Credentials(b))
            | (Self::Nkey(a), Self::Nkey(b)) => a == b,
            (Self::CredentialsFile(a), Self::CredentialsFile(b))
            | (Self::NkeyFile(a), Self::NkeyFile(b)) => a == b,
            (Self::Jwt(a, sign), Self::Jwt(b, other)) => a == b && Arc::ptr_eq(sign, other),
            _ => false,
        }
    }
}

/// Returns options that log in with a JWT and a signature of the nonce. A callback that panics fails the attempt, and
/// not the task that connects.
fn signed_by(jwt: &str, sign: &Arc<SignNonce>) -> ConnectOptions {
    let (jwt, sign) = (jwt.to_owned(), Arc::clone(sign));
    ConnectOptions::with_auth_callback(move |nonce| {
        let (jwt, sign) = (jwt.clone(), Arc::clone(&sign));
        let signing = AssertUnwindSafe(async move { sign(nonce).await }).catch_unwind();
        // async-nats wants a future that is `Sync`.
        let signing = Mutex::new(signing.boxed());
        async move {
            let signed = std::future::poll_fn(|cx| lock(&signing).as_mut().poll(cx)).await;
            let mut auth = Auth::new();
            auth.jwt = Some(jwt);
            auth.signature = Some(match signed {
                Ok(Ok(signature)) => signature,
                Ok(Err(SignatureError(text))) => return Err(AuthError::new(text)),
                Err(_) => return Err(AuthError::new("the signing callback panicked")),
            });
            Ok(auth)
        }
    })
}

/// Returns the error of a file; `what` is what it should have. A path that is a login itself is not shown.
fn unreadable(what: &str, path: &Path, error: io::Error) -> Error {
    if is_login(path) {
        let message = format!(
            "the path of the {what} file is no path, but has what belongs into that file; write it there, or pass it by \
             `ConnectOptions::credentials` or `ConnectOptions::nkey`"
        );
        return Error::new(ErrorKind::Configuration, message);
    }
    let message = format!("cannot read {what} from `{}`", path.display());
    Error::new(ErrorKind::Configuration, message).with_source(error)
}

/// Returns whether a path is not one, but a seed or credentials, where the path of their file is expected.
pub(super) fn is_login(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let text = text.trim();
    let is_seed = text.len() > 50
        && text.starts_with('S')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
    is_seed || text.contains("-----") || text.starts_with("eyJ")
}

/// Names the kind alone: whatever holds a login may be printed.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_not_printed() {
        let login = Login::UserAndPassword("ada".into(), "s3cret".into());
        assert_eq!(format!("{login:?}"), "UserAndPassword");
    }
}
