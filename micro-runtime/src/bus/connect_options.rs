//! `ConnectOptions`: how a bus connects to NATS, logs in, and connects again.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::bus::capacity::SUBSCRIPTION_CAPACITY;
use crate::bus::connection_role::Carries;
use crate::bus::jetstream_place::JetStreamPlace;
use crate::bus::link::SilenceLimits;
use crate::bus::login::{Login, SignatureError};
use crate::bus::served_services::ServedServices;
use crate::bus::server_urls::ServerUrls;
use crate::error::Error;
use crate::wire::subject::INBOX;

const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_SILENCE_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// How a bus connects to NATS: login, TLS, name, inbox, and what it does when the connection is away.
///
/// A bus has one connection by default, which it makes anew for ever. The login is used anew each time: a credentials
/// file is read again, and the signing callback of a JWT is called again.
///
/// | option | default |
/// |---|---|
/// | login | that of the URL, else none |
/// | TLS | as the server requires it, or `tls://` does; roots of the system |
/// | [`name`](Self::name) | the name of the program, and later its services |
/// | [`inbox_prefix`](Self::inbox_prefix) | `_INBOX` |
/// | [`ping_interval`](Self::ping_interval) | 5 s |
/// | [`silence_timeout`](Self::silence_timeout) | 2 s |
/// | [`connection_timeout`](Self::connection_timeout) | 5 s |
/// | [`wait_for_server`](Self::wait_for_server) | not at all |
/// | [`max_reconnect_delay`](Self::max_reconnect_delay) | 2 s |
/// | [`discover_servers`](Self::discover_servers) | yes |
/// | [`separate_connections`](Self::separate_connections) | no: one for everything |
/// | `jetstream_domain`, `jetstream_api_prefix` | the JetStream of the server, `$JS.API` |
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use micro_runtime::{Bus, ConnectOptions};
///
/// # async fn run() -> Result<(), micro_runtime::Error> {
/// let options = ConnectOptions::new()
///     .name("billing")
///     .credentials_file("/etc/nats/billing.creds")
///     .wait_for_server(Duration::from_secs(30));
/// let bus = Bus::connect_with(options, "tls://nats.example.com").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ConnectOptions {
    pub(super) login: Option<Login>,
    name: Option<String>,
    inbox_prefix: String,
    root_certificates: Vec<PathBuf>,
    /// Paths of the client's certificate and of its key.
    client_certificate: Option<(PathBuf, PathBuf)>,
    requires_tls: bool,
    is_tls_first: bool,
    ping_interval: Duration,
    silence_timeout: Duration,
    pub(super) connection_timeout: Duration,
    pub(super) first_wait: Duration,
    pub(super) max_reconnect_delay: Duration,
    pub(super) discovers_servers: bool,
    pub(super) carries: Carries,
    pub(super) jetstream: JetStreamPlace,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            login: None,
            name: None,
            inbox_prefix: INBOX.to_owned(),
            root_certificates: Vec::new(),
            client_certificate: None,
            requires_tls: false,
            is_tls_first: false,
            ping_interval: DEFAULT_PING_INTERVAL,
            silence_timeout: DEFAULT_SILENCE_TIMEOUT,
            connection_timeout: DEFAULT_CONNECTION_TIMEOUT,
            first_wait: Duration::ZERO,
            max_reconnect_delay: DEFAULT_MAX_RECONNECT_DELAY,
            discovers_servers: true,
            carries: Carries::Everything,
            jetstream: JetStreamPlace::Own,
        }
    }
}

impl ConnectOptions {
    /// Returns the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Logs in with user and password.
    #[must_use]
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.log_in(Login::UserAndPassword(user.into(), password.into()))
    }

    /// Logs in with a token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.log_in(Login::Token(token.into()))
    }

    /// Logs in with an nkey; `seed` is the seed of a user, which begins with `SU`.
    #[must_use]
    pub fn nkey(self, seed: impl Into<String>) -> Self {
        self.log_in(Login::Nkey(seed.into()))
    }

    /// Logs in with a credentials file, as `nsc` makes it. It is read at each connect, so that a file that is replaced
    /// before it expires needs no restart.
    #[must_use]
    pub fn credentials_file(self, path: impl Into<PathBuf>) -> Self {
        self.log_in(Login::CredentialsFile(path.into()))
    }

    /// Logs in with the text of a credentials file.
    #[must_use]
    pub fn credentials(self, text: impl Into<String>) -> Self {
        self.log_in(Login::Credentials(text.into()))
    }

    /// Logs in with the JWT of a user whose key is elsewhere: `sign` gets the server's nonce at each connect, and
    /// returns the signature, 64 bytes of Ed25519. It has as long as the connect; one that fails, panics or does not
    /// return in time fails the attempt, and is called again at the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ConnectOptions;
    ///
    /// # async fn sign_elsewhere(nonce: Vec<u8>) -> Result<Vec<u8>, std::io::Error> { Ok(nonce) }
    /// let options = ConnectOptions::new().jwt("eyJ0eXAi…", |nonce| sign_elsewhere(nonce));
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn jwt<F, E>(
        self,
        jwt: impl Into<String>,
        sign: impl Fn(Vec<u8>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let sign = Arc::new(sign);
        let sign = move |nonce| {
            let sign = Arc::clone(&sign);
            async move {
                let signed = sign(nonce).await;
                signed.map_err(|error| SignatureError::from(error.into()))
            }
            .boxed()
        };
        self.log_in(Login::Jwt(jwt.into(), Arc::new(sign)))
    }

    /// Replaces the login: a connection has one.
    fn log_in(self, login: Login) -> Self {
        Self {
            login: Some(login),
            ..self
        }
    }

    /// Name of the connection, which the monitoring of NATS and `nats server report connections` show.
    ///
    /// By default it is the name of the program, and from the next physical connection on, as after a restart of NATS,
    /// the services that run on it as well: `billing (shop.v1.Orders)`. NATS takes the name when a connection is made,
    /// before a service can start on it. To show a service from the start on, write it into the name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// First tokens of the inbox in which replies arrive; `_INBOX` by default. A user whose permissions let it
    /// subscribe to `_INBOX.client.>` needs `_INBOX.client`.
    #[must_use]
    pub fn inbox_prefix(self, prefix: impl Into<String>) -> Self {
        Self {
            inbox_prefix: prefix.into(),
            ..self
        }
    }

    /// Trusts the certificates of this file in PEM, beside those of the system. May be called several times.
    #[must_use]
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificates.push(path.into());
        self
    }

    /// Shows the server a certificate: paths of the certificate and of its private key, both in PEM.
    #[must_use]
    pub fn client_certificate(
        self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            client_certificate: Some((certificate.into(), key.into())),
            ..self
        }
    }

    /// Fails where a server offers no TLS, as `tls://` in the URL does.
    #[must_use]
    pub fn require_tls(self) -> Self {
        Self {
            requires_tls: true,
            ..self
        }
    }

    /// Begins TLS before the server's first message, for a server with `handshake_first`.
    #[must_use]
    pub fn tls_first(self) -> Self {
        Self {
            is_tls_first: true,
            ..self
        }
    }

    /// Interval of the PINGs of an idle connection, 5 s by default. After two without a reply it counts as lost.
    #[must_use]
    pub fn ping_interval(self, interval: Duration) -> Self {
        Self {
            ping_interval: interval.max(MIN_INTERVAL),
            ..self
        }
    }

    /// Time without a confirmation by the server after which a connection that waits for one counts as lost; 2 s by
    /// default. What was unconfirmed when it began, and what has arrived since, add the time that they take at 256
    /// KiB/s, 60 s at most, so that a slow link is not taken for a dead one. Raise it for a slower link with large
    /// messages.
    #[must_use]
    pub fn silence_timeout(self, timeout: Duration) -> Self {
        Self {
            silence_timeout: timeout.max(MIN_INTERVAL),
            ..self
        }
    }

    /// Maximum time of one attempt to connect to one address, 5 s by default. A server has four times as long at most,
    /// for its name to be resolved and for all its addresses. A reconnect begins with 1 s.
    #[must_use]
    pub fn connection_timeout(self, timeout: Duration) -> Self {
        Self {
            connection_timeout: timeout.max(MIN_INTERVAL),
            ..self
        }
    }

    /// Waits so long for the first connection where no server can be reached, as in a deployment that starts NATS and
    /// its services together. By default the first connect fails at once. A login that is refused is not tried again.
    #[must_use]
    pub fn wait_for_server(self, max_wait: Duration) -> Self {
        Self {
            first_wait: max_wait,
            ..self
        }
    }

    /// Maximum time between two attempts to connect anew, 2 s by default; while connections are refused it is 0.4 s at
    /// most, and while the login is refused up to five times this option.
    #[must_use]
    pub fn max_reconnect_delay(self, delay: Duration) -> Self {
        Self {
            max_reconnect_delay: delay.max(MIN_INTERVAL),
            ..self
        }
    }

    /// Whether servers that a cluster announces are used beside those of the URL; yes by default. Without it a
    /// connection through a proxy or a load balancer stays there.
    #[must_use]
    pub fn discover_servers(self, discovers: bool) -> Self {
        Self {
            discovers_servers: discovers,
            ..self
        }
    }

    /// Returns the options with the login of the URL, which replaces user and password, or a token, as in the Go client
    /// of NATS.
    pub(super) fn with_login_of(self, servers: &ServerUrls) -> Self {
        match (servers.login(), &self.login) {
            (Some(login), None | Some(Login::UserAndPassword(..) | Login::Token(_))) => {
                self.log_in(login.clone())
            }
            _ => self,
        }
    }

    /// Returns when a silent link counts as lost.
    pub(super) fn silence_limits(&self) -> SilenceLimits {
        SilenceLimits {
            timeout: self.silence_timeout,
            ping_interval: self.ping_interval,
        }
    }

    pub(super) fn prefix_of_inboxes(&self) -> &str {
        &self.inbox_prefix
    }

    /// Returns the name of a physical connection that serves these services, with its role where it has one.
    fn connection_name(&self, services: &ServedServices) -> Option<String> {
        let with_role = |name| match self.carries.role_name() {
            Some(role) => format!("{name}/{role}"),
            None => name,
        };
        match self.name.clone() {
            Some(name) => Some(with_role(name)),
            None => Some(services.name_of(with_role(program_name()?))),
        }
    }

    /// Returns the options of one physical connection. Reads the files of the login.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for a file that cannot be read.
    pub(super) async fn of_one_connection(
        &self,
        services: &ServedServices,
    ) -> Result<async_nats::ConnectOptions, Error> {
        let options = match &self.login {
            Some(login) => login.options().await?,
            None => async_nats::ConnectOptions::new(),
        };
        let mut options = options
            .custom_inbox_prefix(&self.inbox_prefix)
            .require_tls(self.requires_tls)
            .ping_interval(self.ping_interval)
            .subscription_capacity(SUBSCRIPTION_CAPACITY);
        if let Some(name) = self.connection_name(services) {
            options = options.name(name);
        }
        for path in &self.root_certificates {
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = self.client_certificate.clone() {
            options = options.add_client_certificate(certificate, key);
        }
        if self.is_tls_first {
            options = options.tls_first();
        }
        Ok(options)
    }
}

/// Minimum of the times that can be set: a timer below it would be no pause.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Returns the name of the program's file; `None` where the system does not tell it.
fn program_name() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let name = path.file_stem()?.to_string_lossy();
    Some(name.into_owned())
}

/// Without the login.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .field("login", &self.login)
            .field("inbox_prefix", &self.inbox_prefix)
            .finish_non_exhaustive()
    }
}
