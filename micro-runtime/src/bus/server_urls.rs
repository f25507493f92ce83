//! `ServerUrls`: the servers that a URL names, and the login in it, which is never printed.
//!
//! async-nats logs the URLs that it gets, and does not log in with what they contain. So it gets them without the
//! login, which becomes a part of the connect options.

use std::fmt;

use async_nats::ServerAddr;

use crate::bus::login::Login;
use crate::error::{Error, ErrorKind};

/// Servers of one connection; displayed without a login, and each with its port, also where that is the default.
#[derive(Clone, Debug)]
pub(super) struct ServerUrls {
    addresses: Vec<ServerAddr>,
    /// Login of the servers that have one in their URL, which is the same for all of these.
    login: Option<Login>,
}

impl ServerUrls {
    /// Reads servers that are separated by commas.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is none, for one that is no URL of NATS, and for logins that differ.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut urls = Self {
            addresses: Vec::new(),
            login: None,
        };
        let servers = text.split(',').map(str::trim);
        let servers = servers.filter(|server| !server.is_empty());
        let is_list = servers.clone().count() > 1;
        for server in servers {
            let number = urls.addresses.len() + 1;
            // A login that is not escaped may end at any of the signs that separate, so that no part of the text is
            // known to be without it.
            let name = match text.contains('@') {
                true => {
                    format!("server {number} of the URL, which is not shown since it has a login,")
                }
                false => format!("`{server}`"),
            };
            let address: ServerAddr = server.parse().map_err(|error| invalid(&name, error))?;
            let login = Login::of_address(&address).map_err(|flaw| invalid(&name, flaw))?;
            check_end(&address).map_err(|flaw| invalid(&name, flaw))?;
            if is_list && login.is_some() && !server.contains("://") {
                return Err(invalid(
                    &name,
                    "it has a login behind a comma, without nats:// before it",
                ));
            }
            match (&urls.login, login) {
                (_, None) => {}
                (None, login) => urls.login = login,
                (Some(first), Some(login)) if *first == login => {}
                (Some(_), Some(_)) => return Err(misconfigured(DIFFERENT_LOGINS)),
            }
            let address = without_login(address).map_err(|error| invalid(&name, error))?;
            urls.addresses.push(address);
        }
        match urls.addresses.is_empty() {
            true => Err(misconfigured(
                "the URL names no server; write nats://host:4222",
            )),
            false => Ok(urls),
        }
    }

    /// Returns whether the URL has a user and no password, which is a token.
    pub(super) fn has_token(&self) -> bool {
        matches!(self.login, Some(Login::Token(_)))
    }

    /// Returns the servers, without a login.
    pub(super) fn addresses(&self) -> &[ServerAddr] {
        &self.addresses
    }

    /// Returns the login of the URL.
    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

const DIFFERENT_LOGINS: &str = "the servers of the URL have different logins, and a connection has one: write the same \
     before each server, or before one of them";

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

fn invalid(name: &str, flaw: impl fmt::Display) -> Error {
    misconfigured(&format!(
        "{name} is no server of NATS: {flaw}; write nats://host:4222, or nats://user:password@host:4222 with `%23`, \
         `%2C`, `%2F`, `%3A`, `%3F` and `%40` for `#`, `,`, `/`, `:`, `?` and `@` in user, password and token"
    ))
}

/// Checks that host and port are the end of a URL. A login with a `/`, `?` or `#` that is not escaped ends at it for
/// the parser, which takes its beginning for the host and the rest, with the `@`, for a path.
fn check_end(address: &ServerAddr) -> Result<(), &'static str> {
    let url = address.clone().into_inner();
    let is_path = match address.is_websocket() {
        true => !url.path().contains('@'),
        false => matches!(url.path(), "" | "/"),
    };
    match !is_path || url.query().is_some() || url.fragment().is_some() {
        true => Err("something is behind its host and port"),
        false => Ok(()),
    }
}

/// Returns the address without user, password and token.
fn without_login(address: ServerAddr) -> std::io::Result<ServerAddr> {
    let mut url = address.into_inner();
    // Both fail for a URL without a host only, which has no login.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    ServerAddr::from_url(url)
}

impl fmt::Display for ServerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let url = address.clone().into_inner();
            let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
            let path = url.path().trim_end_matches('/');
            write!(f, "{comma}{scheme}://{host}:{}{path}", address.port())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(user: &str, password: &str) -> Option<Login> {
        Some(Login::UserAndPassword(user.into(), password.into()))
    }

    #[test]
    fn servers_and_their_login_are_read_and_shown_without_it() {
        let check = |text: &str, shown: &str, login: Option<Login>| {
            let urls = ServerUrls::parse(text).unwrap();
            assert_eq!(urls.to_string(), shown, "{text}");
            assert_eq!(urls.login, login, "{text}");
        };
        let token = |token: &str| Some(Login::Token(token.into()));
        check("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", None);
        check("localhost", "nats://localhost:4222", None);
        check(
            "nats://ada:s3cret@host:4222",
            "nats://host:4222",
            user("ada", "s3cret"),
        );
        check(
            "ada:s3cret@host:4222",
            "nats://host:4222",
            user("ada", "s3cret"),
        );
        check("tok3n@host", "nats://host:4222", token("tok3n"));
        check("tls://[::1]:4222", "tls://[::1]:4222", None);
        // Percent-decoded, in users, passwords and tokens; a raw `@` before the last one belongs to the password.
        check(
            "nats://a%40b:p%2Cq%3A%2F%C3%A4%25@host",
            "nats://host:4222",
            user("a@b", "p,q:/ä%"),
        );
        check("nats://t%2Ck@host", "nats://host:4222", token("t,k"));
        check(
            "nats://ada:p@ss@host",
            "nats://host:4222",
            user("ada", "p@ss"),
        );
        check(
            "nats://ada:a:b@host",
            "nats://host:4222",
            user("ada", "a:b"),
        );
        // Several servers: those without a login get the one of the others.
        check(
            "nats://a:b@x, tls://y:1,nats://a:b@z,",
            "nats://x:4222,tls://y:1,nats://z:4222",
            user("a", "b"),
        );
        check(
            "x,nats://a:b@y",
            "nats://x:4222,nats://y:4222",
            user("a", "b"),
        );
        check("tls://[::1]", "tls://[::1]:4222", None);
    }

    #[test]
    fn urls_that_are_none_are_rejected_without_their_login() {
        let check = |text: &str, part: &str| {
            let error = ServerUrls::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(part), "{text}: {shown}");
            assert!(!shown.contains("s3cr"), "{text}: {shown}");
        };
        check("", "names no server");
        check(" , ", "names no server");
        check("http://host", "`http://host` is no server of NATS");
        check("http://host", "invalid scheme");
        check("nats://host:x", "`nats://host:x`");
        check("nats://:s3cr3t@host", "a password without a user");
        // Signs that must be escaped.
        check("nats://ada:s3cr,3t@host", "server 1 of the URL");
        check("nats://ada:s3cr/3t@host", "`%2F`");
        check("nats://x,nats://ada:s3cr,3t@host", "server 2 of the URL");
        for sign in ["/", "?", "#", ","] {
            check(&format!("nats://s3cr1{sign}s3cr2@host:4222"), "of the URL");
            check(&format!("nats://ada:42{sign}s3cr2@host"), "of the URL");
            check(&format!("s3cr1{sign}s3cr2@host"), "of the URL");
            check(
                &format!("nats://x,nats://s3cr1{sign}s3cr2@host"),
                "of the URL",
            );
        }
        check("nats://host/path", "`nats://host/path`");
        check("nats://a:s3cr1@x,nats://a:s3cr2@y", "different logins");
        check("nats://a:s3cr1@x,nats://s3cr2@y", "different logins");
    }
}
