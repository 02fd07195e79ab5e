//! Two replicas with limits of the test's own, on one Valkey and behind one Envoy.

use std::net::SocketAddr;

use tokio::sync::MutexGuard;

use crate::alone;
use crate::envoy::upstream;
use crate::gate::{Gate, replica};
use crate::gateway::Gateway;
use crate::process::folder;
use crate::valkey::Valkey;

/// Everything that takes part.
pub(crate) struct Fleet {
    pub(crate) gateway: Gateway,
    pub(crate) replicas: [Gate; 2],
    pub(crate) store: Valkey,
    _alone: MutexGuard<'static, ()>,
}

impl Fleet {
    /// Starts it, with a change of Envoy's configuration.
    pub(crate) async fn start(
        name: &str,
        limits: &str,
        store_timeout_ms: u32,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let upstream = upstream().await;
        Self::before(upstream, name, limits, store_timeout_ms, &[], change).await
    }

    /// The same before another API, with settings of the replicas as environment.
    pub(crate) async fn before(
        upstream: SocketAddr,
        name: &str,
        limits: &str,
        store_timeout_ms: u32,
        settings: &[(&str, &str)],
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        let file = folder.join("limits.yaml");
        std::fs::write(&file, limits).unwrap();
        let start = async |rank| {
            let mut serve = replica(&folder, rank);
            serve.arg("--limits").arg(&file);
            // One connection to the store from each.
            serve.env("SLUICEGATE__THREADS", "1").envs(settings.iter().copied());
            Gate::start(serve, &store, store_timeout_ms).await
        };
        let replicas = [start(0).await, start(1).await];
        let doors = [replicas[0].grpc, replicas[1].grpc];
        let gateway = Gateway::start_with(&folder, upstream, doors, change).await;
        Self { gateway, replicas, store, _alone: alone }
    }

    /// The sum over both replicas of the metrics whose lines begin so.
    pub(crate) async fn metric(&self, beginning: &str) -> f64 {
        let [one, other] = &self.replicas;
        one.metric(beginning).await + other.metric(beginning).await
    }
}
