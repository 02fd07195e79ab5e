//! A real proxy in front of the gateway: another Envoy, which clients reach from any address, since
//! they say theirs by the PROXY protocol; and the wire between the two.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::calls::until;
use crate::http_client::{HttpAnswer, exchange};
use crate::process::{PATIENCE, Process, free_address, part};

/// A running proxy.
pub(crate) struct Front {
    _process: Process,
    /// Where clients call.
    pub(crate) address: SocketAddr,
    /// Where clients call that come through one more proxy: this one calls itself.
    pub(crate) edge: SocketAddr,
}

/// Where a proxy sends requests.
pub(crate) struct Target {
    /// What clients name it by, in the header `x-to`.
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The address that the proxy calls from.
    pub(crate) from: IpAddr,
}

impl Front {
    pub(crate) async fn start(folder: &Path, targets: &[Target]) -> Self {
        let (address, edge) = (free_address(), free_address());
        // The edge calls from an address of its own.
        let itself = Target { name: "front", address, from: IpAddr::from([127, 0, 0, 6]) };
        let mut text = String::from("static_resources:\n  listeners:\n");
        text += &listener("front", address, "cluster_header: x-to");
        text += &listener("edge", edge, "cluster: front");
        text += "  clusters:\n";
        targets.iter().chain([&itself]).for_each(|target| text += &cluster(target));
        let config = folder.join("front.yaml");
        std::fs::write(&config, text).unwrap();
        let mut envoy = Command::new(part("SLUICEGATE_ENVOY", "envoy-1.40.0/envoy"));
        envoy.arg("-c").arg(&config);
        envoy.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]);
        let process = Process::start("front envoy", &mut envoy);
        until("proxy in front", || async { TcpStream::connect(address).await.ok() }).await;
        Self { _process: process, address, edge }
    }
}

/// Sends a request as a client with this address: it is what the PROXY protocol says of the
/// connection.
pub(crate) async fn call_as(
    client: IpAddr,
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> HttpAnswer {
    let mut request = Request::builder().uri(path).header("host", "api.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answered = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(proxy_line(client).as_bytes()).await?;
        exchange(stream, request.body(Full::default()).unwrap()).await
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("in time").expect("an answer")
}

/// A wire to `gateway` that makes who calls over it have this address there.
pub(crate) async fn wire(caller: Ipv6Addr, gateway: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut to = TcpStream::connect(gateway).await?;
                to.write_all(proxy_line(caller.into()).as_bytes()).await?;
                copy_bidirectional(&mut from, &mut to).await
            });
        }
    });
    address
}

/// The line that begins a connection by version 1 of the PROXY protocol.
fn proxy_line(client: IpAddr) -> String {
    match client {
        IpAddr::V4(_) => format!("PROXY TCP4 {client} 192.0.2.255 4711 80\r\n"),
        IpAddr::V6(_) => format!("PROXY TCP6 {client} 2001:db8::ffff 4711 80\r\n"),
    }
}

fn socket(address: SocketAddr) -> String {
    format!(
        "{{ socket_address: {{ address: \"{}\", port_value: {} }} }}",
        address.ip(),
        address.port()
    )
}

/// A listener that appends the address of each client to X-Forwarded-For.
fn listener(name: &str, address: SocketAddr, route: &str) -> String {
    let api = "type.googleapis.com/envoy.extensions";
    // The edge tells its clients' addresses by the header alone.
    let mut text = format!("    - name: {name}\n      address: {}\n", socket(address));
    let _ = write!(
        text,
        r#"      listener_filters:
        - name: envoy.filters.listener.proxy_protocol
          typed_config:
            "@type": {api}.filters.listener.proxy_protocol.v3.ProxyProtocol
            allow_requests_without_proxy_protocol: true
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {api}.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: {name}
                use_remote_address: true
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": {api}.filters.http.router.v3.Router
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{{ match: {{ prefix: / }}, route: {{ {route} }} }}]
"#
    );
    text
}

fn cluster(target: &Target) -> String {
    let (name, address) = (target.name, socket(target.address));
    format!(
        "    - name: {name}
      type: STATIC
      connect_timeout: 5s
      upstream_bind_config: {{ source_address: {{ address: \"{}\", port_value: 0 }} }}
      load_assignment:
        cluster_name: {name}
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {address} }} }}] }}]
",
        target.from
    )
}
