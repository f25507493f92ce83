//! `ServedServices`: the services that a connection serves, for its name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// Maximum number of services that a name shows.
const MAX_SHOWN: usize = 5;

/// Services that run on one connection. NATS takes the name of a connection when it is made, so that they show from the
/// next physical connection on.
#[derive(Default)]
pub(super) struct ServedServices {
    /// Number of servers that serve each.
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

/// The services of one server, until it is dropped.
pub(crate) struct NamedServices {
    served: Arc<ServedServices>,
    names: Vec<&'static str>,
}

impl ServedServices {
    /// Adds the services of one server.
    pub(super) fn add(self: Arc<Self>, names: Vec<&'static str>) -> NamedServices {
        let mut counts = lock(&self.counts);
        for name in &names {
            *counts.entry(name).or_default() += 1;
        }
        drop(counts);
        NamedServices {
            served: self,
            names,
        }
    }

    /// Returns the name of a connection of this program with its services, in brackets and in the order of the
    /// alphabet.
    pub(super) fn name_of(&self, program: String) -> String {
        let counts = lock(&self.counts);
        let mut name = program;
        for (index, service) in counts.keys().take(MAX_SHOWN).enumerate() {
            name.push_str(if index == 0 { " (" } else { ", " });
            name.push_str(service);
        }
        if counts.len() > MAX_SHOWN {
            let _ = write!(name, " and {} more", counts.len() - MAX_SHOWN);
        }
        if !counts.is_empty() {
            name.push(')');
        }
        name
    }
}

impl Drop for NamedServices {
    fn drop(&mut self) {
        let mut counts = lock(&self.served.counts);
        for name in &self.names {
            if let Some(count) = counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(served: &Arc<ServedServices>, names: &[&'static str]) -> NamedServices {
        Arc::clone(served).add(names.to_vec())
    }

    #[test]
    fn a_name_shows_what_is_served_now() {
        let served = Arc::new(ServedServices::default());
        let check = |expected: &str| assert_eq!(served.name_of("shop".into()), expected);
        check("shop");
        let first = add(&served, &["b.v1.B", "a.v1.A"]);
        check("shop (a.v1.A, b.v1.B)");
        let second = add(&served, &["a.v1.A"]);
        drop(first);
        check("shop (a.v1.A)");
        drop(second);
        check("shop");
    }

    #[test]
    fn a_name_shows_five_services_and_how_many_there_are_beside() {
        let served = Arc::new(ServedServices::default());
        let five = add(&served, &["a", "b", "c", "d", "e"]);
        assert_eq!(served.name_of("shop".into()), "shop (a, b, c, d, e)");
        let _more = add(&served, &["f", "g"]);
        let name = served.name_of("shop".into());
        assert_eq!(name, "shop (a, b, c, d, e and 2 more)");
        drop(five);
        assert_eq!(served.name_of("shop".into()), "shop (f, g)");
    }
}
