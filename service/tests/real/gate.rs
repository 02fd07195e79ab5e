//! One replica of Sluicegate: the real binary with the settings of `deploy/envoy`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::calls::{call, until};
use crate::compose_file::service;
use crate::process::{Process, free_address};
use crate::valkey::Valkey;

/// A running replica.
pub(crate) struct Gate {
    pub(crate) process: Process,
    /// Its gRPC door.
    pub(crate) grpc: SocketAddr,
    http: SocketAddr,
}

impl Gate {
    /// Starts the command on free ports with `store` and waits until it is ready.
    pub(crate) async fn start(mut serve: Command, store: &Valkey, timeout_ms: u32) -> Self {
        let (grpc, http) = (free_address(), free_address());
        serve.args(["--grpc-addr", &grpc.to_string(), "--http-addr", &http.to_string()]);
        serve.env("SLUICEGATE__STORE__URL", store.url());
        serve.env("SLUICEGATE__STORE__PASSWORD_FILE", store.secret_file("store-password"));
        serve.env("SLUICEGATE__STORE__KEY_SECRET_FILE", store.secret_file("key-secret"));
        serve.env("SLUICEGATE__STORE__TIMEOUT_MS", timeout_ms.to_string());
        serve.env("SLUICEGATE__DRAIN__DELAY_MS", "0");
        let gate = Self { process: Process::start("sluicegate", &mut serve), grpc, http };
        until("ready replica", || async {
            let from = Ipv4Addr::LOCALHOST.into();
            let answer = call(from, http, "GET", "/readyz", &[]).await.ok()?;
            answer.status.is_success().then_some(())
        })
        .await;
        gate
    }

    /// The sum of the metrics whose lines begin so.
    pub(crate) async fn metric(&self, beginning: &str) -> f64 {
        let scraped = call(Ipv4Addr::LOCALHOST.into(), self.http, "GET", "/metrics", &[]).await;
        let text = scraped.unwrap().body;
        let values = text.lines().filter(|line| line.starts_with(beginning));
        let value =
            |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        values.filter_map(value).sum()
    }
}

/// The command of the first replica of Compose, with another rank, and of two replicas.
pub(crate) fn replica(folder: &Path, rank: usize) -> Command {
    let service = service("sluicegate-1");
    service.lay_out(folder);
    let mut serve = service.command_in(folder, Path::new(env!("CARGO_BIN_EXE_sluicegate")));
    serve.env("SLUICEGATE__REPLICAS__COUNT", "2");
    serve.env("SLUICEGATE__REPLICAS__RANK", rank.to_string());
    serve
}
