//! The whole market in one command: a nats-server, every part as a child process, and a report.

mod launcher;
mod process;
mod report;
mod run;
mod settings;

pub use run::run;
pub use settings::MarketSettings;
