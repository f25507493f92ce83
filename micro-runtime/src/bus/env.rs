//! The environment variables that the `nats` tool reads too, as connect options.

use async_nats::ConnectOptions;

use crate::bus::bus::Bus;
use crate::error::{Error, ErrorKind};

const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

impl Bus {
    /// Connects as the environment says, with the names that the `nats` tool knows.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `NATS_URL` | servers, separated by commas; default `nats://127.0.0.1:4222` |
    /// | `NATS_USER`, `NATS_PASSWORD` | user and password; the user alone is a token |
    /// | `NATS_TOKEN` | token |
    /// | `NATS_CREDS` | path of a credentials file |
    /// | `NATS_NKEY` | path of a file with an nkey seed |
    /// | `NATS_CA`, `NATS_CERT`, `NATS_KEY` | paths of TLS files |
    /// | `NATS_INBOX_PREFIX` | what inboxes begin with, default `_INBOX` |
    /// | `MICRO_PREFIX` | [`Bus::with_prefix`] |
    ///
    /// `NATS_CONTEXT` is refused: contexts belong to the tool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for a variable that cannot be used, [`ErrorKind::Connect`] as
    /// [`Bus::connect`].
    pub async fn from_env() -> Result<Self, Error> {
        let settings =
            EnvSettings::read(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))?;
        let prefix = settings.prefix.clone();
        let url = settings.url.clone();
        let bus = Self::connect_with(settings.into_options().await?, url).await?;
        match prefix {
            Some(prefix) => bus.with_prefix(&prefix),
            None => Ok(bus),
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct EnvSettings {
    url: String,
    prefix: Option<String>,
    login: Option<Login>,
    inbox_prefix: Option<String>,
    ca: Option<String>,
    certificate: Option<(String, String)>,
}

#[derive(Debug, PartialEq)]
enum Login {
    UserAndPassword(String, String),
    Token(String),
    Credentials(String),
    Nkey(String),
}

impl EnvSettings {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        if variable("NATS_CONTEXT").is_some() {
            return Err(refused(
                "NATS_CONTEXT is not read, since contexts belong to the `nats` tool; set NATS_URL and NATS_CREDS instead",
            ));
        }
        let login = match (variable("NATS_USER"), variable("NATS_PASSWORD")) {
            (Some(user), Some(password)) => Some(Login::UserAndPassword(user, password)),
            (Some(token), None) => Some(Login::Token(token)),
            (None, Some(_)) => return Err(refused("NATS_PASSWORD is set without NATS_USER")),
            (None, None) => None,
        };
        let logins = [
            login,
            variable("NATS_TOKEN").map(Login::Token),
            variable("NATS_CREDS").map(Login::Credentials),
            variable("NATS_NKEY").map(Login::Nkey),
        ];
        let mut logins = logins.into_iter().flatten();
        let login = logins.next();
        if logins.next().is_some() {
            return Err(refused(
                "more than one of NATS_USER, NATS_TOKEN, NATS_CREDS and NATS_NKEY is set; keep one",
            ));
        }
        let certificate = match (variable("NATS_CERT"), variable("NATS_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(refused("NATS_CERT and NATS_KEY belong together; set both")),
        };
        Ok(Self {
            url: variable("NATS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned()),
            prefix: variable("MICRO_PREFIX"),
            login,
            inbox_prefix: variable("NATS_INBOX_PREFIX"),
            ca: variable("NATS_CA"),
            certificate,
        })
    }

    async fn into_options(self) -> Result<ConnectOptions, Error> {
        let mut options = ConnectOptions::new();
        options = match self.login {
            None => options,
            Some(Login::UserAndPassword(user, password)) => {
                options.user_and_password(user, password)
            }
            Some(Login::Token(token)) => options.token(token),
            Some(Login::Credentials(path)) => options
                .credentials_file(&path)
                .await
                .map_err(|error| unreadable("NATS_CREDS", &path, error))?,
            Some(Login::Nkey(path)) => {
                let seed = std::fs::read_to_string(&path)
                    .map_err(|error| unreadable("NATS_NKEY", &path, error))?;
                options.nkey(seed.trim().to_owned())
            }
        };
        if let Some(prefix) = self.inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        if let Some(path) = self.ca {
            options = options.add_root_certificates(path.into());
        }
        if let Some((certificate, key)) = self.certificate {
            options = options.add_client_certificate(certificate.into(), key.into());
        }
        Ok(options)
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

fn unreadable(variable: &str, path: &str, error: std::io::Error) -> Error {
    let message = format!("cannot read `{path}`, which {variable} names");
    Error::new(ErrorKind::Configuration, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<EnvSettings, Error> {
        EnvSettings::read(|name| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn the_nats_tools_variables_are_read() {
        let empty = read(&[]).unwrap();
        assert_eq!(empty.url, DEFAULT_URL);
        assert_eq!(empty.login, None);
        let check = |variables: &[(&str, &str)], login: Login| {
            assert_eq!(read(variables).unwrap().login, Some(login));
        };
        check(
            &[("NATS_USER", "ada"), ("NATS_PASSWORD", "s")],
            Login::UserAndPassword("ada".into(), "s".into()),
        );
        check(&[("NATS_USER", "t")], Login::Token("t".into()));
        check(&[("NATS_TOKEN", "t")], Login::Token("t".into()));
        check(&[("NATS_CREDS", "/c")], Login::Credentials("/c".into()));
        check(&[("NATS_NKEY", "/n")], Login::Nkey("/n".into()));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |variables: &[(&str, &str)], part: &str| {
            let error = read(variables).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(part), "{error}");
        };
        check(&[("NATS_PASSWORD", "s")], "without NATS_USER");
        check(&[("NATS_TOKEN", "t"), ("NATS_CREDS", "/c")], "keep one");
        check(&[("NATS_CERT", "/c")], "belong together");
        check(&[("NATS_CONTEXT", "prod")], "NATS_CONTEXT");
    }
}
