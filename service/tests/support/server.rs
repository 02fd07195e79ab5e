//! A server on loopback with the embedded store, and the parts that a limiter is made of.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::doors::{self, Common};
use sluicegate::geography::Geography;
use sluicegate::lifecycle::{Lifecycle, Phase};
use sluicegate::limiter::{Limiter, Rules, Secrets, Shared};
use sluicegate::metrics::Metrics;
use sluicegate::random::Random;
use sluicegate::record::{Recorder, Redactor, Writer};
use sluicegate::reload::ReloadState;
use sluicegate::server::{Running, Server};
use sluicegate::settings::{AttributeSource, Overrides, Secret, Settings, load};
use sluicegate::store::Store;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::{Policy, SourceFile};

/// Nothing in these tests takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One running server; it is cut when dropped.
pub(crate) struct TestServer {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reload: Arc<ReloadState>,
    #[allow(dead_code, reason = "the tests of some doors have no geography")]
    pub(crate) geography: Option<Arc<Geography>>,
    pub(crate) running: Running,
    _records: Writer,
}

impl TestServer {
    /// Serves these limits; `adjust` may change the settings first.
    pub(crate) fn start(limits: &str, adjust: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        let header = AttributeSource::Header("x-tenant-id".to_owned());
        settings.attributes.insert("tenant_id".to_owned(), header);
        let present = AttributeSource::Present("tenant_id".to_owned());
        settings.attributes.insert("authenticated".to_owned(), present);
        adjust(&mut settings);
        Self::serve(limits, &settings)
    }

    fn serve(limits: &str, settings: &Settings) -> Self {
        let metrics = Metrics::new(settings.memory.max_counters);
        let memory = Arc::new(Memory::new(settings.memory.max_counters));
        let (shared, records) = shared(limits, settings, &memory, &metrics);
        let lifecycle = Lifecycle::default();
        let reload = Arc::new(ReloadState::default());
        let open = |file: &PathBuf| Geography::open(file, Arc::clone(&metrics)).unwrap();
        let geography = settings.geography.as_ref().map(open);
        let common = Common::new(
            settings,
            Arc::clone(&metrics),
            lifecycle.clone(),
            Arc::clone(&reload),
            geography.clone(),
        );
        let common = common.unwrap();
        let server = Server::bind(&settings.listeners, &metrics).unwrap();
        let (grpc, http) = (server.grpc_address(), server.http_address());
        let threads = NonZeroUsize::new(2).unwrap();
        let running = server.start(threads, &lifecycle, move |_| {
            let limiter = Limiter::new(Arc::clone(&shared), Store::Memory(Arc::clone(&memory)));
            doors::routers(&limiter, &common)
        });
        Self {
            grpc,
            http,
            lifecycle,
            metrics,
            reload,
            geography,
            running: running.unwrap(),
            _records: records,
        }
    }

    /// A gRPC channel to it.
    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.grpc));
        endpoint.unwrap().connect().await.unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Ending);
    }
}

/// The settings of a replica with the embedded store, on free ports of loopback.
pub(crate) fn settings() -> Settings {
    let overrides = Overrides {
        store: Some("memory".to_owned()),
        limits: vec!["limits.yaml".into()],
        grpc_address: Some("127.0.0.1:0".to_owned()),
        http_address: Some("127.0.0.1:0".to_owned()),
        environment: Some(std::iter::empty::<(String, String)>().collect()),
        ..Overrides::default()
    };
    load(&overrides).unwrap()
}

/// What the limiters of one replica share; its records go nowhere.
pub(crate) fn shared(
    limits: &str,
    settings: &Settings,
    memory: &Arc<Memory>,
    metrics: &Arc<Metrics>,
) -> (Arc<Shared>, Writer) {
    let file = SourceFile { name: "limits.yaml".to_owned(), text: limits.to_owned() };
    let policy = Policy::compile_for(&[file], settings.paths).unwrap().policy;
    let redactor = Redactor::new(settings.redaction.clone(), &settings.key_secret);
    let records = settings.decision_records;
    let started = Recorder::start(records, redactor, None, Arc::clone(metrics), std::io::sink());
    let (recorder, writer) = started.unwrap();
    let shared = Shared::new(
        Arc::new(policy),
        Secrets::new(&Secret::new(&[7; 32])).unwrap(),
        Arc::clone(memory),
        Rules::from(settings),
        Arc::clone(metrics),
        recorder,
        Random::from_system().unwrap(),
    );
    (shared, writer)
}
