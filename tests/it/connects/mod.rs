//! Connecting: every login, TLS, the first connection, names, variables of the environment, and the causes for which
//! no server takes a connection.
//!
//! `server.pem` is a certificate of 127.0.0.1 that is valid for a hundred years, `server-key.pem` its
//! key; nothing else uses them.

mod causes;
mod environment;
mod every_login;
mod first_connection;
mod idle_connection;
mod logins;
mod names;
mod operator;
mod tls;
