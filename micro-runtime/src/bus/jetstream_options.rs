//! `ConnectOptions::jetstream_domain`, `jetstream_api_prefix`: which JetStream a connection uses.

use crate::bus::connect_options::ConnectOptions;
use crate::bus::jetstream_place::JetStreamPlace;
use crate::error::Error;
#[cfg(feature = "jetstream")]
use crate::error::ErrorKind;
#[cfg(feature = "jetstream")]
use crate::subject::raw_flaw;
use crate::wire::subject::JETSTREAM_API;
#[cfg(feature = "jetstream")]
use crate::wire::subject::domain_api;

impl ConnectOptions {
    /// Uses the JetStream of a domain, as that of a hub from a leaf node: streams are declared and consumed there. By
    /// default it is the one of the server that the connection leads to.
    ///
    /// Events are published under their subjects, which have no domain: the leaf node must not store them itself.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use micro_runtime::{Bus, ConnectOptions};
    ///
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let options = ConnectOptions::new().jetstream_domain("hub");
    /// let bus = Bus::connect_with(options, "nats://leaf.example.com").await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn jetstream_domain(mut self, domain: impl Into<String>) -> Self {
        self.jetstream = JetStreamPlace::Domain(domain.into());
        self
    }

    /// Uses the JetStream whose API is under these tokens, as an import from another account maps them: `JS.billing`
    /// for `JS.billing.STREAM.INFO.ORDERS`. `$JS.API` by default.
    ///
    /// The import must let the user publish to `$JS.ACK.>` of that account as well, where deliveries are acknowledged.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::ConnectOptions;
    ///
    /// let options = ConnectOptions::new().jetstream_api_prefix("JS.billing");
    /// # let _ = options;
    /// ```
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn jetstream_api_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.jetstream = JetStreamPlace::ApiPrefix(prefix.into());
        self
    }

    /// Returns the first tokens of the subjects of JetStream's API.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for a domain that is not one token, and for a prefix that is a pattern or no
    /// subject.
    pub(super) fn jetstream_api(&self) -> Result<Box<str>, Error> {
        match &self.jetstream {
            JetStreamPlace::Own => Ok(JETSTREAM_API.into()),
            #[cfg(feature = "jetstream")]
            JetStreamPlace::Domain(domain) => {
                let flaw = raw_flaw(domain, false);
                let flaw = flaw.or_else(|| domain.contains('.').then_some("it has a dot"));
                unless_flawed(flaw, "a domain of JetStream", domain)?;
                Ok(domain_api(domain).into())
            }
            #[cfg(feature = "jetstream")]
            JetStreamPlace::ApiPrefix(prefix) => {
                unless_flawed(
                    raw_flaw(prefix, false),
                    "the prefix of JetStream's API",
                    prefix,
                )?;
                Ok(prefix.as_str().into())
            }
        }
    }
}

#[cfg(feature = "jetstream")]
fn unless_flawed(flaw: Option<&str>, part: &str, text: &str) -> Result<(), Error> {
    match flaw {
        None => Ok(()),
        Some(flaw) => {
            let text = format!("`{text}` cannot be {part}: {flaw}");
            Err(Error::new(ErrorKind::Configuration, text))
        }
    }
}

#[cfg(all(test, feature = "jetstream"))]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_one_token_and_a_prefix_a_subject() {
        let check = |options: ConnectOptions, expected: Option<&str>| {
            let found = options.jetstream_api();
            assert_eq!(found.as_deref().ok(), expected, "{found:?}");
        };
        let options = ConnectOptions::new;
        check(options(), Some("$JS.API"));
        check(options().jetstream_domain("hub"), Some("$JS.hub.API"));
        check(
            options().jetstream_api_prefix("JS.billing"),
            Some("JS.billing"),
        );
        for flawed in ["", "a.b", "*", "a b", ">"] {
            check(options().jetstream_domain(flawed), None);
        }
        for flawed in ["", "a..b", "a.*", "a b", "a.>"] {
            check(options().jetstream_api_prefix(flawed), None);
        }
    }
}
