//! `EventDescriptor`: an event as its .proto declares it, and its subject template (docs/PROTOCOL.md, EVENT-3).

use crate::subject::unescape;

/// An event as its .proto declares it: the message, and the template of its subjects.
///
/// Generated code holds one per message with the option `(micro.v1.event)`, as
/// [`Event::DESCRIPTOR`](crate::Event::DESCRIPTOR). Each placeholder of a template is a whole token, so that a filter
/// can leave any field open and a subject can be parsed without guessing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventDescriptor {
    /// Package and name of the message, as in `market.v1.Trade`.
    pub full_name: &'static str,
    /// Template of the subjects without the prefix of a bus, as in `evt.market.trade.{venue}.{symbol}`.
    pub template: &'static str,
    /// Fields in the placeholders, each once, in the order of the template.
    pub fields: &'static [EventField],
}

/// A field of an event that its subjects contain.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventField {
    /// Name as spelt in the .proto.
    pub name: &'static str,
    /// Numbers and names of the values, if the field is an enum; empty otherwise. Subjects contain the names.
    pub values: &'static [(i32, &'static str)],
}

impl EventDescriptor {
    /// Returns the descriptor of an event. Every placeholder of `template` must name one of `fields`.
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

    /// Parses a subject without the prefix of a bus: the texts of the fields, in the order of
    /// [`fields`](Self::fields). `None` if it is not a subject of this event.
    ///
    /// For routing and display. A handler reads fields from the payload: the subject has them as text, and one
    /// that is published by hand can differ from them.
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

    /// Returns the pattern of all subjects of this event, without the prefix of a bus.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::descriptor::{EventDescriptor, EventField};
    ///
    /// const TRADE: EventDescriptor =
    ///     EventDescriptor::new("market.v1.Trade", "evt.trade.{venue}", &[EventField::new("venue")]);
    /// assert_eq!(TRADE.pattern(), "evt.trade.*");
    /// ```
    #[must_use]
    pub fn pattern(&self) -> String {
        self.pattern_with(|_| None)
    }

    /// Returns the template with `fixed`, already escaped, in place of each placeholder, or `*` where that is `None`.
    pub(crate) fn pattern_with<'a>(&self, fixed: impl Fn(usize) -> Option<&'a str>) -> String {
        let tokens = self.template.split('.').map(|part| {
            self.placeholder(part)
                .map_or(part, |index| fixed(index).unwrap_or("*"))
        });
        tokens.collect::<Vec<_>>().join(".")
    }

    /// Returns the index of the field that a token of the template stands for; `None` for a literal token.
    fn placeholder(&self, token: &str) -> Option<usize> {
        let name = token.strip_prefix('{')?.strip_suffix('}')?;
        self.fields.iter().position(|field| field.name == name)
    }
}

impl EventField {
    /// Returns a field of type string, bool or integer.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, values: &[] }
    }

    /// Returns a field of an enum, with the numbers and names of its values.
    #[must_use]
    pub const fn of_enum(name: &'static str, values: &'static [(i32, &'static str)]) -> Self {
        Self { name, values }
    }
}
