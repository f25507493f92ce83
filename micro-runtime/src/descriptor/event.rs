//! Descriptors of events: the name of the message, its subject template, and the fields in it.

use crate::subject::unescape;

/// What the .proto says about an event. Generated code holds one per event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventDescriptor {
    /// Package and name of the message, as in `market.v1.Trade`.
    pub full_name: &'static str,
    /// The subject, as in `evt.market.trade.{venue}.{symbol}`.
    pub template: &'static str,
    /// What the placeholders name, each once, in the order of the template.
    pub fields: &'static [EventField],
}

/// A field that a subject names.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventField {
    /// As spelt in the .proto.
    pub name: &'static str,
    /// The names of the numbers, if the field is an enum.
    pub values: &'static [(i32, &'static str)],
}

impl EventDescriptor {
    /// Describes an event.
    #[must_use]
    pub const fn new(
        full_name: &'static str,
        template: &'static str,
        fields: &'static [EventField],
    ) -> Self {
        Self {
            full_name,
            template,
            fields,
        }
    }

    /// Reads the texts of the fields back from a subject, without a bus's prefix, in the order of
    /// [`fields`](Self::fields); `None` if it is not a subject of this event.
    ///
    /// For routing and display: what a program goes by is in the payload.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::descriptor::{EventDescriptor, EventField};
    ///
    /// const TRADE: EventDescriptor =
    ///     EventDescriptor::new("market.v1.Trade", "evt.trade.{venue}", &[EventField::new("venue")]);
    /// assert_eq!(TRADE.parse("evt.trade.a%2Eb"), Some(vec!["a.b".to_owned()]));
    /// assert_eq!(TRADE.parse("evt.tick.kraken"), None);
    /// ```
    #[must_use]
    pub fn parse(&self, subject: &str) -> Option<Vec<String>> {
        let mut texts: Vec<Option<String>> = vec![None; self.fields.len()];
        let mut tokens = subject.split('.');
        for part in self.template.split('.') {
            let token = tokens.next()?;
            let Some(index) = self.placeholder(part) else {
                if part != token {
                    return None;
                }
                continue;
            };
            let text = unescape(token)?;
            match &mut texts[index] {
                Some(before) if *before != text => return None,
                slot => *slot = Some(text),
            }
        }
        if tokens.next().is_some() {
            return None;
        }
        texts.into_iter().collect()
    }

    /// What every subject of this event matches, without a bus's prefix.
    #[must_use]
    pub fn pattern(&self) -> String {
        self.pattern_with(|_| None)
    }

    /// The template with a text or a wildcard for each placeholder.
    pub(crate) fn pattern_with<'a>(&self, fixed: impl Fn(usize) -> Option<&'a str>) -> String {
        let tokens = self.template.split('.').map(|part| {
            self.placeholder(part)
                .map_or(part, |index| fixed(index).unwrap_or("*"))
        });
        tokens.collect::<Vec<_>>().join(".")
    }

    /// The index of the field that a token of the template stands for.
    fn placeholder(&self, token: &str) -> Option<usize> {
        let name = token.strip_prefix('{')?.strip_suffix('}')?;
        self.fields.iter().position(|field| field.name == name)
    }
}

impl EventField {
    /// A field whose value is written as text.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, values: &[] }
    }

    /// A field of an enum, with the names of its numbers.
    #[must_use]
    pub const fn of_enum(name: &'static str, values: &'static [(i32, &'static str)]) -> Self {
        Self { name, values }
    }
}
