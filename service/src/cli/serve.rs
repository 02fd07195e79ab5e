//! `sluicegate serve`: puts the parts together, runs them until a signal, and takes them down.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::Compiled;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, banner, check};
use crate::clock;
use crate::doors::{self, Common};
use crate::geography::Geography;
use crate::lifecycle::Lifecycle;
use crate::limiter::{Limiter, Rules, Secrets, Shared};
use crate::metrics::Metrics;
use crate::output::{JsonErrors, Stream};
use crate::random::Random;
use crate::record::{Recorder, Redactor, Writer};
use crate::reload::{self, ReloadState, Sources, Watcher};
use crate::server::{Running, Server, raise_limit};
use crate::settings::{self, Overrides, Settings, StoreSettings};
use crate::store::Store;
use crate::store::valkey::{ValkeyHandle, ValkeyNode};
use crate::telemetry::{Spans, start_log};

/// How often fresh counters are swept, and what memory holds is shown.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The settings file [default: sluicegate.yaml, where there is one]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Limits files or directories, instead of those of the settings; may be repeated
    #[arg(long, value_name = "FILE_OR_DIR")]
    limits: Vec<PathBuf>,
    /// memory, or valkey://HOST:PORT
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// The address of the gRPC listener
    #[arg(long, value_name = "ADDRESS")]
    grpc_addr: Option<String>,
    /// The address of the HTTP listener
    #[arg(long, value_name = "ADDRESS")]
    http_addr: Option<String>,
}

/// Why the service could not start.
type StartError = Box<dyn std::error::Error>;

/// The parts of a service that runs.
struct Replica {
    lifecycle: Lifecycle,
    running: Running,
    watchers: Vec<Watcher>,
    writer: Writer,
    spans: Option<Spans>,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    node: Option<Arc<ValkeyNode>>,
}

pub(super) fn run(serve: &Serve) -> Exit {
    let overrides = Overrides {
        file: serve.config.clone(),
        limits: serve.limits.clone(),
        store: serve.store.clone(),
        grpc_address: serve.grpc_addr.clone(),
        http_address: serve.http_addr.clone(),
        environment: None,
    };
    let settings = match settings::load(&overrides) {
        Ok(settings) => settings,
        Err(error) => {
            check::settings_refused(&error);
            return Exit::Configuration;
        }
    };
    if settings.limits.is_empty() {
        Stream::Err
            .line("error: no limits: set `limits:` in sluicegate.yaml, or pass --limits FILE");
        return Exit::Configuration;
    }
    let sources = Sources::read(&settings.limits);
    let compiled = match sources.compile(settings.conventions()) {
        Ok(compiled) => compiled,
        Err(problems) => {
            check::show(&sources, &problems, &[]);
            return Exit::Configuration;
        }
    };
    check::show(&sources, &[], &compiled.lints(&check::surroundings(Some(&settings))));
    if let Err(error) = start_log(settings.log) {
        Stream::Err.line(format_args!("error: {error}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(StartError::from).and_then(|runtime| {
        runtime.block_on(async {
            let terminations = Signals::new()?;
            let replica = Replica::start(&settings, &sources, compiled)?;
            replica.live(&settings, terminations).await;
            Ok(())
        })
    });
    match served {
        Ok(()) => Exit::Yes,
        Err(error) => {
            Stream::Err.line(format_args!("error: {error}"));
            Exit::Configuration
        }
    }
}

impl Replica {
    fn start(
        settings: &Settings,
        sources: &Sources,
        compiled: Compiled,
    ) -> Result<Self, StartError> {
        let files = raise_limit(&settings.listeners).err();
        settings.warnings.iter().chain(&files).for_each(|warning| tracing::warn!("{warning}"));
        let policy = Arc::new(compiled.policy);
        let metrics = Metrics::new(settings.memory.max_counters);
        reload::show(&metrics, &policy);
        let memory = Arc::new(Memory::new(settings.memory.max_counters));
        let spans = Spans::from_environment()?;
        let (recorder, writer) = Recorder::start(
            settings.decision_records,
            Redactor::new(settings.redaction.clone(), &settings.key_secret),
            spans.clone(),
            Arc::clone(&metrics),
            JsonErrors,
        )?;
        let secrets = Secrets::new(&settings.key_secret)?;
        let shared = Shared::new(
            Arc::clone(&policy),
            secrets,
            Arc::clone(&memory),
            Rules::from(settings),
            Arc::clone(&metrics),
            recorder,
            Random::from_system()?,
        );
        let lifecycle = Lifecycle::default();
        let reload = Arc::new(ReloadState::default());
        let open = |file: &PathBuf| Geography::open(file, Arc::clone(&metrics));
        let geography = settings.geography.as_ref().map(open).transpose()?;
        let common = Common::new(
            settings,
            Arc::clone(&metrics),
            lifecycle.clone(),
            Arc::clone(&reload),
            geography.clone(),
        )?;
        let server = Server::bind(&settings.listeners, &metrics)?;
        let (grpc, http) = (server.grpc_address(), server.http_address());
        let node = match &settings.store {
            StoreSettings::Memory => None,
            StoreSettings::Valkey(valkey) => Some(ValkeyNode::new(valkey.clone())),
        };
        let (core_node, core_memory) = (node.clone(), Arc::clone(&memory));
        let on_policy = Arc::clone(&shared);
        let running = server.start(settings.threads, &lifecycle, move |_| {
            let store = match &core_node {
                None => Store::Memory(Arc::clone(&core_memory)),
                Some(node) => Store::Valkey(ValkeyHandle::start(Arc::clone(node))),
            };
            let limiter = Limiter::new(Arc::clone(&shared), store);
            doors::routers(&limiter, &common)
        })?;
        let mut watchers = vec![Watcher::start(
            settings.limits.clone(),
            sources,
            settings.conventions(),
            move |policy| on_policy.set_policy(policy),
            reload,
            Arc::clone(&metrics),
        )?];
        if let Some(geography) = &geography {
            watchers.push(geography.follow()?);
        }
        banner::print(settings, &policy, grpc, http);
        Ok(Self { lifecycle, running, watchers, writer, spans, memory, metrics, node })
    }

    /// Serves until a signal ends it, and takes everything down in order.
    async fn live(self, settings: &Settings, mut signals: Signals) {
        let Self { lifecycle, mut running, watchers, writer, spans, memory, metrics, node } = self;
        let mut tick = tokio::time::interval(HOUSEKEEPING);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    memory.sweep(clock::now());
                    metrics.memory(memory.len(), memory.overflowed());
                    if let Some(node) = &node {
                        metrics.store.shared(node);
                    }
                }
                again = signals.next() => {
                    if !again {
                        break;
                    }
                    watchers.iter().for_each(Watcher::reload);
                }
            }
        }
        tracing::info!("draining: not ready any more, requests are still answered");
        let hurry = lifecycle.clone();
        let drained = lifecycle.drain(settings.drain, running.closed());
        tokio::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => break,
                again = signals.next() => {
                    if !again {
                        hurry.hurry();
                    }
                }
            }
        }
        // The last records and spans are written by threads of their own, which this one must not
        // keep from running.
        let last = tokio::task::spawn_blocking(move || {
            drop((watchers, writer));
            spans.iter().for_each(Spans::shutdown);
        });
        let _ = last.await;
    }
}

/// What the system may tell the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal: true asks to read the limits again, false to end.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => true,
        }
    }
}
