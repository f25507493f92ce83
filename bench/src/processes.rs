//! The processes of a run: one nats-server, and a server and a client for each contender.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use micro_testkit::NatsServer;

use crate::child::Child;
use crate::client::Figures;
use crate::contender::{Build, Contender, Stack};
use crate::cpu;
use crate::failure::Result;
use crate::scenario::{Scenario, Setup, Task};

/// Timeout for the start of a process.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout for the figures of a load, beyond the length of the load.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout for a task whose length is not chosen.
const TASK_TIMEOUT: Duration = Duration::from_secs(600);

/// All processes of a run; dropping it ends them.
pub(crate) struct Processes {
    // Declared first: clients end before their servers, and those before nats-server.
    pairs: Vec<(Contender, Pair)>,
    setup: Setup,
    nats: NatsServer,
    /// The program of [`Build::Other`].
    other: Option<PathBuf>,
}

/// The processes of one contender.
struct Pair {
    client: Child,
    servers: Vec<Child>,
}

impl Processes {
    /// Starts nats-server; `other` is the program of another build, where one is a contender.
    pub(crate) async fn start(other: Option<PathBuf>) -> Result<Self> {
        Ok(Self {
            pairs: Vec::new(),
            setup: Setup::default(),
            nats: NatsServer::builder().jetstream().start().await?,
            other,
        })
    }

    /// Measures a contender once; a load is put on it for `length`.
    pub(crate) fn measure(
        &mut self,
        scenario: &Scenario,
        contender: Contender,
        length: Duration,
    ) -> Result<Figures> {
        match &scenario.task {
            Task::Load(work) => {
                // Two builds use the same subjects, so one ends before the other starts. It also gives each
                // turn new processes: the layout of one process in memory must not decide all pairs.
                if self.setup != scenario.setup || self.other.is_some() {
                    self.pairs.clear();
                    self.setup = scenario.setup;
                }
                self.load(contender, &format!("{} {work}", length.as_millis()), length)
            }
            Task::Once(words) => {
                let (name, url) = (contender.stack.to_string(), self.nats.url());
                let words = words.iter().map(String::as_str);
                let words: Vec<&str> = words.chain([&*name, &*url]).collect();
                let child = Child::spawn(&self.program(contender.build)?, &words)?;
                // Generators print lines for cargo first.
                loop {
                    let line = child.line(TASK_TIMEOUT)?;
                    if line.starts_with('{') {
                        return Ok(serde_json::from_str(&line)?);
                    }
                }
            }
            Task::Start => {
                let program = self.program(contender.build)?;
                let (name, url) = (contender.stack.to_string(), self.nats.url());
                let begun = Instant::now();
                let server = Child::spawn(&program, &["serve", &name, &url])?;
                server.line(START_TIMEOUT)?;
                let seconds = begun.elapsed().as_secs_f64();
                Ok(Figures::from([("seconds".to_owned(), seconds)]))
            }
        }
    }

    fn load(&mut self, contender: Contender, request: &str, length: Duration) -> Result<Figures> {
        let nats = self.nats.pid();
        let Pair { client, servers } = self.pair(contender)?;
        let mut pids = vec![client.pid()];
        pids.extend(servers.iter().map(Child::pid));
        if contender.stack != Stack::Tonic {
            pids.extend(nats);
        }
        let before = cpu::used(&pids)?;
        let mut figures = client.request(request, length + LOAD_TIMEOUT)?;
        let used = cpu::used(&pids)? - before;
        if let Some(calls) = figures.remove("calls") {
            let per_call = used.as_secs_f64() * 1e6 / calls.max(1.0);
            figures.insert("cpu_us_per_call".to_owned(), per_call);
        }
        Ok(figures)
    }

    /// Returns the processes of a contender, and starts them when they are needed first.
    fn pair(&mut self, contender: Contender) -> Result<&mut Pair> {
        if let Some(index) = self.pairs.iter().position(|(known, _)| *known == contender) {
            return Ok(&mut self.pairs[index].1);
        }
        let program = self.program(contender.build)?;
        let (name, url) = (contender.stack.to_string(), self.nats.url());
        let methods = self.setup.more_methods.to_string();
        let mut address = String::new();
        let mut servers = Vec::new();
        for _ in 0..self.setup.instances {
            let args = ["serve", &name, &url, "--more-methods", &methods];
            let server = Child::spawn(&program, &args)?;
            let ready = server.line(START_TIMEOUT)?;
            let found = ready.strip_prefix("ready ").ok_or("expected an address")?;
            found.clone_into(&mut address);
            servers.push(server);
        }
        let client = Child::spawn(&program, &["call", &name, &address])?;
        client.line(START_TIMEOUT)?;
        let pair = Pair { client, servers };
        Ok(&mut self.pairs.push_mut((contender, pair)).1)
    }

    fn program(&self, build: Build) -> Result<PathBuf> {
        match (build, &self.other) {
            (Build::This, _) => Ok(std::env::current_exe()?),
            (Build::Other, Some(other)) => Ok(other.clone()),
            (Build::Other, None) => Err("there is no other build to measure".into()),
        }
    }
}
