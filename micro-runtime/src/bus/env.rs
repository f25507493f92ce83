//! `Bus::from_env`: connect options from environment variables, with the names that the `nats` tool uses.

use async_nats::ConnectOptions;

use crate::bus::bus::Bus;
use crate::error::{Error, ErrorKind};

/// Server of `NATS_URL` if that is unset.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

impl Bus {
    /// Connects with options from environment variables, with the names that the `nats` tool uses.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `NATS_URL` | servers, separated by commas; default `nats://127.0.0.1:4222` |
    /// | `NATS_USER`, `NATS_PASSWORD` | user and password; the user alone is a token |
    /// | `NATS_TOKEN` | token |
    /// | `NATS_CREDS` | path of a credentials file |
    /// | `NATS_NKEY` | path of a file with an nkey seed |
    /// | `NATS_CA`, `NATS_CERT`, `NATS_KEY` | paths of TLS files |
    /// | `NATS_INBOX_PREFIX` | first tokens of inboxes, default `_INBOX` |
    /// | `MICRO_PREFIX` | prefix of calls and events, as [`Bus::with_prefix`]; default none |
    ///
    /// An empty variable counts as unset. At most one way to log in may be set. `NATS_CONTEXT` is rejected:
    /// contexts are files of the `nats` tool, and ignoring one would connect to another server than meant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for variables that contradict each other or name a file that cannot be
    /// read; [`ErrorKind::Connect`] as for [`Bus::connect`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let bus = micro_runtime::Bus::from_env().await?;
    /// # Ok(()) }
    /// ```
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

/// The variables as they were read, checked against each other but not used yet.
#[derive(Debug, Default, PartialEq)]
struct EnvSettings {
    url: String,
    prefix: Option<String>,
    login: Option<Login>,
    inbox_prefix: Option<String>,
    ca: Option<String>,
    /// Paths of the client's certificate and of its key.
    certificate: Option<(String, String)>,
}

/// The one way to log in that is set. `Credentials` and `Nkey` hold paths.
#[derive(Debug, PartialEq)]
enum Login {
    UserAndPassword(String, String),
    Token(String),
    Credentials(String),
    Nkey(String),
}

impl EnvSettings {
    /// Reads the variables through `variable`, which returns `None` for one that is unset or empty. Tests pass a
    /// table instead of the process's environment.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        if variable("NATS_CONTEXT").is_some() {
            return Err(misconfigured(
                "NATS_CONTEXT is not read, since contexts belong to the `nats` tool; set NATS_URL and NATS_CREDS instead",
            ));
        }
        let login = match (variable("NATS_USER"), variable("NATS_PASSWORD")) {
            (Some(user), Some(password)) => Some(Login::UserAndPassword(user, password)),
            (Some(token), None) => Some(Login::Token(token)),
            (None, Some(_)) => return Err(misconfigured("NATS_PASSWORD is set without NATS_USER")),
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
            return Err(misconfigured(
                "more than one of NATS_USER, NATS_TOKEN, NATS_CREDS and NATS_NKEY is set; keep one",
            ));
        }
        let certificate = match (variable("NATS_CERT"), variable("NATS_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(misconfigured(
                    "NATS_CERT and NATS_KEY belong together; set both",
                ));
            }
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

    /// Reads the files that the variables name, and makes connect options of everything.
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

fn misconfigured(message: &str) -> Error {
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
    fn every_way_to_log_in_is_read_from_its_variables() {
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
    fn variables_that_contradict_each_other_are_rejected() {
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
