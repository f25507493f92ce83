//! `Bus::from_env`: connect options from environment variables, with the names that the `nats` tool uses.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::{ConnectError, ConnectErrorKind};

use crate::bus::bus::Bus;
use crate::bus::connect_options::ConnectOptions;
use crate::bus::login::{Login, is_login};
use crate::bus::runtime::NoRuntime;
use crate::bus::server_urls::ServerUrls;
use crate::error::{Error, ErrorKind};

/// Variable of [`ConnectOptions::separate_connections`].
const SEPARATE_CONNECTIONS: &str = "MICRO_SEPARATE_CONNECTIONS";
/// Variable of [`ConnectOptions::wait_for_server`].
const WAIT_FOR_SERVER: &str = "MICRO_WAIT_FOR_SERVER";
/// Server of `NATS_URL` if that is unset.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

impl Bus {
    /// Connects with options from environment variables, with the names that the `nats` tool uses.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `NATS_URL` | servers, separated by commas, as [`Bus::connect`] takes them; default `nats://127.0.0.1:4222` |
    /// | `NATS_USER`, `NATS_PASSWORD` | user and password; as with the `nats` tool, the user alone is a token |
    /// | `NATS_TOKEN` | token |
    /// | `NATS_CREDS` | path of a credentials file |
    /// | `NATS_NKEY` | path of a file with an nkey seed |
    /// | `NATS_CA`, `NATS_CERT`, `NATS_KEY` | paths of TLS files, in PEM; with any of them TLS is required |
    /// | `NATS_INBOX_PREFIX` | first tokens of inboxes, default `_INBOX` |
    /// | `MICRO_CONNECTION_NAME` | name of the connection, as [`ConnectOptions::name`]; default the program's |
    /// | `MICRO_PREFIX` | prefix of calls and events, as [`Bus::with_prefix`]; default none |
    /// | `MICRO_WAIT_FOR_SERVER` | seconds for [`ConnectOptions::wait_for_server`], as `30`; default `0` |
    /// | `MICRO_JETSTREAM_DOMAIN` | domain of JetStream, as `ConnectOptions::jetstream_domain`; default that of the server |
    /// | `MICRO_SEPARATE_CONNECTIONS` | `true` for [`ConnectOptions::separate_connections`]; default `false` |
    ///
    /// An empty variable counts as unset. At most one way to log in may be set, a login in `NATS_URL` among them.
    /// `NATS_CONTEXT` is rejected: contexts are files of the `nats` tool, and ignoring one would connect to another
    /// server than meant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for variables that contradict each other, miss another one, or name a file that
    /// cannot be read or has not what it is for; [`ErrorKind::Connect`] as for [`Bus::connect`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let bus = micro_runtime::Bus::from_env().await?;
    /// # Ok(()) }
    /// ```
    pub async fn from_env() -> Result<Self, Error> {
        NoRuntime::check()
            .map_err(|none| none.into_error("nothing connects to the servers of NATS_URL"))?;
        let settings =
            EnvSettings::read(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))?;
        let prefix = settings.prefix.clone();
        let url = settings.url.clone();
        let is_user_a_token = settings.is_user_a_token;
        let connected = Self::connect_with(settings.into_options()?, url).await;
        let bus = connected.map_err(|error| match is_user_a_token && is_login_refused(&error) {
            true => error.with_remark(USER_IS_A_TOKEN),
            false => error,
        })?;
        match prefix {
            Some(prefix) => bus.with_prefix(&prefix),
            None => Ok(bus),
        }
    }
}

/// The variables as they were read, checked against each other but not used yet.
#[derive(Default)]
struct EnvSettings {
    /// Servers, with a login if there is one.
    url: String,
    prefix: Option<String>,
    name: Option<String>,
    login: Option<Login>,
    /// Whether the login is the token of `NATS_USER`.
    is_user_a_token: bool,
    inbox_prefix: Option<String>,
    has_separate_connections: bool,
    wait_for_server: Duration,
    #[cfg(feature = "jetstream")]
    jetstream_domain: Option<String>,
    ca: Option<String>,
    /// Paths of the client's certificate and of its key.
    certificate: Option<(String, String)>,
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
            (None, Some(_)) => return Err(unpaired("NATS_PASSWORD", "NATS_USER")),
            (None, None) => None,
        };
        let is_user_a_token = matches!(login, Some(Login::Token(_)));
        let logins = [
            login,
            variable("NATS_TOKEN").map(Login::Token),
            variable("NATS_CREDS").map(|path| Login::CredentialsFile(path.into())),
            variable("NATS_NKEY").map(|path| Login::NkeyFile(path.into())),
        ];
        let mut logins = logins.into_iter().flatten();
        let login = logins.next();
        if logins.next().is_some() {
            return Err(misconfigured(
                "more than one of NATS_USER, NATS_TOKEN, NATS_CREDS and NATS_NKEY is set; keep one",
            ));
        }
        let url = variable("NATS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
        if login.is_some() && ServerUrls::parse(&url)?.login().is_some() {
            return Err(misconfigured(
                "NATS_URL has a login, and one of NATS_USER, NATS_TOKEN, NATS_CREDS and NATS_NKEY is set, too; keep one",
            ));
        }
        let certificate = match (variable("NATS_CERT"), variable("NATS_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(unpaired("NATS_CERT", "NATS_KEY")),
            (None, Some(_)) => return Err(unpaired("NATS_KEY", "NATS_CERT")),
            (None, None) => None,
        };
        let has_separate_connections = match variable(SEPARATE_CONNECTIONS) {
            Some(text) => parse_bool(SEPARATE_CONNECTIONS, &text)?,
            None => false,
        };
        let wait_for_server = match variable(WAIT_FOR_SERVER) {
            Some(text) => parse_seconds(WAIT_FOR_SERVER, &text)?,
            None => Duration::ZERO,
        };
        Ok(Self {
            has_separate_connections,
            wait_for_server,
            #[cfg(feature = "jetstream")]
            jetstream_domain: variable("MICRO_JETSTREAM_DOMAIN"),
            url,
            prefix: variable("MICRO_PREFIX"),
            name: variable("MICRO_CONNECTION_NAME"),
            login,
            is_user_a_token,
            inbox_prefix: variable("NATS_INBOX_PREFIX"),
            ca: variable("NATS_CA"),
            certificate,
        })
    }

    /// Checks the files that the variables name, and makes connect options of everything.
    fn into_options(self) -> Result<ConnectOptions, Error> {
        let mut options = ConnectOptions::new();
        match &self.login {
            Some(Login::CredentialsFile(path)) => check_credentials("NATS_CREDS", path)?,
            Some(Login::NkeyFile(path)) => drop(read_file("NATS_NKEY", path)?),
            _ => {}
        }
        options.login = self.login;
        if let Some(name) = self.name {
            options = options.name(name);
        }
        if let Some(prefix) = self.inbox_prefix {
            options = options.inbox_prefix(prefix);
        }
        #[cfg(feature = "jetstream")]
        if let Some(domain) = self.jetstream_domain {
            options = options.jetstream_domain(domain);
        }
        options = options.wait_for_server(self.wait_for_server);
        if self.has_separate_connections {
            options = options.separate_connections();
        }
        // As in the clients of NATS: a server that offers no TLS must not turn into a connection without it.
        if self.ca.is_some() || self.certificate.is_some() {
            options = options.require_tls();
        }
        if let Some(path) = self.ca {
            check_certificates("NATS_CA", path.as_ref())?;
            options = options.root_certificates(path);
        }
        if let Some((certificate, key)) = self.certificate {
            check_certificates("NATS_CERT", certificate.as_ref())?;
            check_key("NATS_KEY", key.as_ref())?;
            options = options.client_certificate(certificate, key);
        }
        Ok(options)
    }
}

/// Remark on a login that is refused.
const USER_IS_A_TOKEN: &str =
    "NATS_PASSWORD is not set or empty, so that NATS_USER was sent as a token";

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

/// Returns the error of a variable that is of no use without another one.
fn unpaired(set: &str, missing: &str) -> Error {
    misconfigured(&format!(
        "{set} is set, and {missing} is not set or empty; set both"
    ))
}

fn parse_bool(variable: &str, text: &str) -> Result<bool, Error> {
    text.parse().map_err(|_| {
        misconfigured(&format!(
            "{variable} is `{text}`; set it to `true` or `false`"
        ))
    })
}

fn parse_seconds(variable: &str, text: &str) -> Result<Duration, Error> {
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| {
        misconfigured(&format!(
            "{variable} is `{text}`; set it to a number of seconds, as `30`"
        ))
    })
}

/// Reads a file that a variable names.
///
/// # Errors
///
/// [`ErrorKind::Configuration`], with variable and path.
fn read_file(variable: &str, path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| unreadable(variable, path, error))
}

fn unreadable(variable: &str, path: &Path, error: io::Error) -> Error {
    if is_login(path) {
        return misconfigured(&format!(
            "{variable} has what belongs into a file, and is read as its path; write that into a file, and set \
             {variable} to the path"
        ));
    }
    let path = path.display();
    let message = format!("cannot read `{path}`, which {variable} names");
    Error::new(ErrorKind::Configuration, message).with_source(error)
}

/// Checks that a file has credentials. It is read again at each connect.
fn check_credentials(variable: &str, path: &Path) -> Result<(), Error> {
    let text = read_file(variable, path)?;
    let parsed = async_nats::ConnectOptions::with_credentials(&text);
    parsed
        .map(drop)
        .map_err(|error| unreadable(variable, path, error))
}

/// Checks that a file has certificates. async-nats reads it where TLS begins, and takes an empty one for no
/// certificate.
fn check_certificates(variable: &str, path: &Path) -> Result<(), Error> {
    let file = read_file(variable, path)?;
    let certificates =
        CertificateDer::pem_slice_iter(file.as_bytes()).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(not_in_pem(variable, path, "certificate"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(not_in_pem(variable, path, "certificate").with_source(error)),
    }
}

fn check_key(variable: &str, path: &Path) -> Result<(), Error> {
    let file = read_file(variable, path)?;
    match PrivateKeyDer::from_pem_slice(file.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) => Err(not_in_pem(variable, path, "private key").with_source(error)),
    }
}

fn not_in_pem(variable: &str, path: &Path, content: &str) -> Error {
    misconfigured(&format!(
        "`{}`, which {variable} names, has no {content} in PEM",
        path.display()
    ))
}

fn is_login_refused(error: &Error) -> bool {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<ConnectError>());
    source.is_some_and(|error| error.kind() == ConnectErrorKind::AuthorizationViolation)
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
        assert_eq!(empty.wait_for_server, Duration::ZERO);
        let waits = read(&[(WAIT_FOR_SERVER, "1.5")]).unwrap();
        assert_eq!(waits.wait_for_server, Duration::from_millis(1500));
        let check = |variables: &[(&str, &str)], login: Login| {
            assert_eq!(read(variables).unwrap().login, Some(login));
        };
        check(
            &[("NATS_USER", "ada"), ("NATS_PASSWORD", "s")],
            Login::UserAndPassword("ada".into(), "s".into()),
        );
        check(&[("NATS_USER", "t")], Login::Token("t".into()));
        check(&[("NATS_TOKEN", "t")], Login::Token("t".into()));
        check(&[("NATS_CREDS", "/c")], Login::CredentialsFile("/c".into()));
        check(&[("NATS_NKEY", "/n")], Login::NkeyFile("/n".into()));
    }

    #[test]
    fn variables_that_contradict_each_other_are_rejected() {
        let check = |variables: &[(&str, &str)], part: &str| {
            let error = read(variables).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(part), "{error}");
        };
        check(&[("NATS_PASSWORD", "s")], "NATS_USER is not set");
        check(&[("NATS_TOKEN", "t"), ("NATS_CREDS", "/c")], "keep one");
        check(
            &[("MICRO_SEPARATE_CONNECTIONS", "yes")],
            "`true` or `false`",
        );
        for wrong in ["soon", "-1", "30s", "NaN", "inf"] {
            check(&[(WAIT_FOR_SERVER, wrong)], "a number of seconds");
        }
        check(&[("NATS_CERT", "/c")], "NATS_KEY is not set");
        check(&[("NATS_KEY", "/k")], "NATS_CERT is not set");
        let url = ("NATS_URL", "nats://ada:s3cret@host");
        check(&[url, ("NATS_TOKEN", "t")], "NATS_URL has a login");
        check(
            &[("NATS_URL", "http://x"), ("NATS_TOKEN", "t")],
            "no server of NATS",
        );
        check(&[("NATS_CONTEXT", "prod")], "NATS_CONTEXT");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_an_error_with_variable_and_path() {
        const CERTIFICATE: &str = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/it/connects/server.pem"
        );
        const NO_PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let check = |variables: &[(&str, &str)], wrong: usize| {
            let (name, path) = variables[wrong];
            let settings = read(variables).unwrap();
            let error = settings.into_options().err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            let named = format!("`{path}`, which {name} names");
            assert!(error.to_string().contains(&named), "{error}");
        };
        for name in ["NATS_CREDS", "NATS_NKEY", "NATS_CA"] {
            check(&[(name, "/no/such/file")], 0);
        }
        check(&[("NATS_CREDS", NO_PEM)], 0);
        check(&[("NATS_CA", NO_PEM)], 0);
        for wrong in ["/no/such/file", NO_PEM] {
            check(&[("NATS_CERT", wrong), ("NATS_KEY", wrong)], 0);
            check(&[("NATS_CERT", CERTIFICATE), ("NATS_KEY", wrong)], 1);
        }
    }
}
