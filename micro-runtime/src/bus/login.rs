//! `Login`: one way to log in to NATS. It is never printed.

use std::fmt;
use std::io;

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind};

/// One way to log in. `Credentials` and `Nkey` hold paths.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    UserAndPassword(String, String),
    Token(String),
    Credentials(String),
    Nkey(String),
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

    /// Returns the options with this login; reads the file that it names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for a file that cannot be read.
    pub(super) async fn apply(self, options: ConnectOptions) -> Result<ConnectOptions, Error> {
        match self {
            Self::UserAndPassword(user, password) => Ok(options.user_and_password(user, password)),
            Self::Token(token) => Ok(options.token(token)),
            Self::Credentials(path) => options
                .credentials_file(&path)
                .await
                .map_err(|error| unreadable("NATS_CREDS", &path, error)),
            Self::Nkey(path) => {
                let seed = read_file("NATS_NKEY", &path)?;
                let seed = String::from_utf8(seed).map_err(|error| {
                    let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
                    unreadable("NATS_NKEY", &path, error)
                })?;
                Ok(options.nkey(seed.trim().to_owned()))
            }
        }
    }
}

/// Reads a file that an environment variable names.
///
/// # Errors
///
/// [`ErrorKind::Configuration`], with variable and path.
pub(super) fn read_file(variable: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| unreadable(variable, path, error))
}

fn unreadable(variable: &str, path: &str, error: io::Error) -> Error {
    let message = format!("cannot read `{path}`, which {variable} names");
    Error::new(ErrorKind::Configuration, message).with_source(error)
}

/// Names the kind alone: whatever holds a login may be printed.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserAndPassword(..) => "UserAndPassword",
            Self::Token(_) => "Token",
            Self::Credentials(_) => "Credentials",
            Self::Nkey(_) => "Nkey",
        })
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
