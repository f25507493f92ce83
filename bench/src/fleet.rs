//! The processes of a run: one nats-server, and a server and a client for each stack.

use std::time::{Duration, Instant};

use micro_testkit::NatsServer;

use crate::child::Child;
use crate::scenario::{Scenario, Setup, Task};
use crate::stack::Stack;
use crate::worker::Figures;
use crate::{Result, cpu};

/// Starting takes so long at most.
const START: Duration = Duration::from_secs(30);
/// What a process may take beyond the time that its work is to last.
const SLACK: Duration = Duration::from_secs(60);
/// What a process may take whose work lasts as long as it lasts.
const ONCE: Duration = Duration::from_secs(600);

/// Everything that runs; it ends when dropped.
pub(crate) struct Fleet {
    // Declared first: clients go before their servers, and those before nats-server.
    pairs: Vec<(Stack, Pair)>,
    setup: Setup,
    nats: NatsServer,
}

/// The processes of one stack.
struct Pair {
    client: Child,
    servers: Vec<Child>,
}

impl Fleet {
    pub(crate) async fn start() -> Result<Self> {
        Ok(Self {
            pairs: Vec::new(),
            setup: Setup::default(),
            nats: NatsServer::builder().jetstream().start().await?,
        })
    }

    /// Measures a stack once; load lasts as long as `length`.
    pub(crate) fn measure(
        &mut self,
        scenario: &Scenario,
        stack: Stack,
        length: Duration,
    ) -> Result<Figures> {
        match &scenario.task {
            Task::Load(work) => {
                if self.setup != scenario.setup {
                    self.pairs.clear();
                    self.setup = scenario.setup;
                }
                self.load(stack, &format!("{} {work}", length.as_millis()), length)
            }
            Task::Once(words) => {
                let (name, url) = (stack.to_string(), self.nats.url());
                let words = words.iter().map(String::as_str);
                let child = Child::spawn(&words.chain([&*name, &*url]).collect::<Vec<_>>())?;
                // Generators talk to cargo meanwhile.
                loop {
                    let line = child.line(ONCE)?;
                    if line.starts_with('{') {
                        return Ok(serde_json::from_str(&line)?);
                    }
                }
            }
            Task::Start => {
                let begun = Instant::now();
                let server = Child::spawn(&["serve", &stack.to_string(), &self.nats.url()])?;
                server.line(START)?;
                let seconds = begun.elapsed().as_secs_f64();
                Ok(Figures::from([("seconds".to_owned(), seconds)]))
            }
        }
    }

    fn load(&mut self, stack: Stack, question: &str, length: Duration) -> Result<Figures> {
        let nats = self.nats.pid();
        let Pair { client, servers } = self.pair(stack)?;
        let mut pids = vec![client.pid()];
        pids.extend(servers.iter().map(Child::pid));
        if stack != Stack::Tonic {
            pids.extend(nats);
        }
        let before = cpu::used(&pids)?;
        let mut figures = client.ask(question, length + SLACK)?;
        let used = cpu::used(&pids)? - before;
        if let Some(calls) = figures.remove("calls") {
            let per_call = used.as_secs_f64() * 1e6 / calls.max(1.0);
            figures.insert("cpu_us_per_call".to_owned(), per_call);
        }
        Ok(figures)
    }

    /// The processes of a stack, started when they are needed first.
    fn pair(&mut self, stack: Stack) -> Result<&mut Pair> {
        if let Some(place) = self.pairs.iter().position(|(known, _)| *known == stack) {
            return Ok(&mut self.pairs[place].1);
        }
        let (name, url) = (stack.to_string(), self.nats.url());
        let methods = self.setup.more_methods.to_string();
        let mut address = String::new();
        let mut servers = Vec::new();
        for _ in 0..self.setup.instances {
            let server = Child::spawn(&["serve", &name, &url, "--more-methods", &methods])?;
            let ready = server.line(START)?;
            let place = ready.strip_prefix("ready ").ok_or("expected an address")?;
            place.clone_into(&mut address);
            servers.push(server);
        }
        let client = Child::spawn(&["call", &name, &address])?;
        client.line(START)?;
        let pair = Pair { client, servers };
        Ok(&mut self.pairs.push_mut((stack, pair)).1)
    }
}
