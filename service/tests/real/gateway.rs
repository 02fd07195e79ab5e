//! The real Envoy with the configuration of `deploy/envoy`, on free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::calls::{call, until};
use crate::process::{Process, free_address, part, repository};

/// How often other ports are tried when somebody else took the free ones meanwhile.
const ATTEMPTS: usize = 5;

/// A running Envoy.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    /// Where clients call.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts it in front of `upstream`, asking the two `replicas`, and waits until it finds both
    /// of them healthy.
    pub(crate) async fn start(
        folder: &Path,
        upstream: SocketAddr,
        replicas: [SocketAddr; 2],
    ) -> Self {
        Self::start_with(folder, upstream, replicas, |text| text).await
    }

    /// The same, with a change of the configuration.
    pub(crate) async fn start_with(
        folder: &Path,
        upstream: SocketAddr,
        replicas: [SocketAddr; 2],
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let text = change(configuration(upstream, replicas));
        for _ in 0..ATTEMPTS {
            let mut gateway = Self::launch(folder, &text);
            if gateway.listens().await {
                gateway.until_healthy(2).await;
                return gateway;
            }
        }
        panic!("envoy did not start on free ports");
    }

    fn launch(folder: &Path, text: &str) -> Self {
        let (address, admin) = (free_address(), free_address());
        let text = at(text.to_owned(), "0.0.0.0", 8000, address);
        let config = folder.join("envoy.yaml");
        std::fs::write(&config, at(text, "127.0.0.1", 9901, admin)).unwrap();
        // With as many files as the system allows: it does not raise its own limit.
        let mut envoy = Command::new("sh");
        envoy.args(["-c", "ulimit -Sn $(ulimit -Hn) && exec \"$@\"", "sh"]);
        envoy.arg(part("SLUICEGATE_ENVOY", "envoy-1.40.0/envoy"));
        envoy.arg("-c").arg(&config);
        envoy.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]);
        envoy.args(["--file-flush-interval-msec", "50"]);
        Self { process: Process::start("envoy", &mut envoy), address, admin }
    }

    /// Waits until it answers; false where it has ended instead.
    async fn listens(&mut self) -> bool {
        until("start of envoy", || {
            let (ended, admin) = (self.process.ended().is_some(), self.admin);
            async move {
                let answer = call(Ipv4Addr::LOCALHOST.into(), admin, "GET", "/ready", &[]).await;
                if ended { Some(false) } else { answer.ok().map(|_| true) }
            }
        })
        .await
    }

    /// One of its statistics; 0 where it has none of that name.
    pub(crate) async fn statistic(&self, name: &str) -> u64 {
        let path = format!("/stats?filter=^{name}$");
        let answer = call(Ipv4Addr::LOCALHOST.into(), self.admin, "GET", &path, &[]).await;
        let body = answer.unwrap().body;
        body.trim().rsplit_once(": ").map_or(0, |(_, number)| number.parse().unwrap())
    }

    /// Fails where a connection to a replica ended while something was asked over it.
    pub(crate) async fn no_connection_broke(&self) {
        for what in ["destroy_remote_with_active_rq", "close_notify", "protocol_error"] {
            let broken = self.statistic(&format!("cluster.sluicegate.upstream_cx_{what}")).await;
            assert_eq!(broken, 0, "{what}");
        }
    }

    /// Waits until Envoy finds that many replicas healthy.
    pub(crate) async fn until_healthy(&self, wanted: usize) {
        until("healthy replicas", || async {
            let from = Ipv4Addr::LOCALHOST.into();
            let clusters = call(from, self.admin, "GET", "/clusters", &[]).await.ok()?.body;
            let flags = "::health_flags::healthy";
            let healthy =
                clusters.lines().filter(|l| l.starts_with("sluicegate::") && l.ends_with(flags));
            (healthy.count() == wanted).then_some(())
        })
        .await;
    }
}

/// The file of the repository with other clusters, and without the third replica.
fn configuration(upstream: SocketAddr, replicas: [SocketAddr; 2]) -> String {
    let text = std::fs::read_to_string(repository("deploy/envoy/envoy.yaml")).unwrap();
    let text = at(text, "upstream", 9000, upstream);
    let text = at(text, "sluicegate-1", 8081, replicas[0]);
    let mut text = at(text, "sluicegate-2", 8081, replicas[1]);
    let third = "              - endpoint:\n                  address: \
                 { socket_address: { address: sluicegate-3, port_value: 8081 } }\n";
    let timeout = "                        timeout: 0.2s\n";
    // What is tested here is the answers, on a machine that may be busy, not the speed.
    let patient = "                        timeout: 60s\n";
    let attempts =
        ["base_interval: 0.001s, max_interval: 0.2s", "base_interval: 0.001s, max_interval: 60s"];
    for (old, new) in [(third, ""), (timeout, patient), (attempts[0], attempts[1])] {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    text
}

/// Puts another address, where the configuration still has the old one.
fn at(text: String, host: &str, port: u16, to: SocketAddr) -> String {
    let old = format!("address: {host}, port_value: {port} ");
    assert!(text.matches(&old).count() <= 1, "{old}");
    text.replace(&old, &format!("address: {}, port_value: {} ", to.ip(), to.port()))
}
