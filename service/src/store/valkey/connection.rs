//! One connection to the server: how it is made, and one script call on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, ServerErrorKind, Value,
};
use sluicegate_limits::time::Timestamp;

use super::packing::Packed;
use super::{SCRIPT, ValkeyNode};
use crate::settings::ValkeySettings;

/// An attempt to connect ends after this long, whoever still waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Valkey has `MSETEX` from this version on.
const MSETEX_SINCE: (u32, u32) = (9, 1);

/// Why a connection was not made, or a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The connection is of no more use, or the server does not serve now. The call may have been
    /// executed where it had been sent.
    Broken(String),
    /// The server answered with an error and executed nothing.
    Refused(String),
}

/// A connection that has the script.
pub(super) struct Connection {
    link: MultiplexedConnection,
    sha: String,
    msetex: bool,
}

impl Connection {
    /// Connects, logs in, looks at the server, loads the script and runs it once: so nothing
    /// depends on a connection that cannot decide.
    pub(super) async fn open(node: Arc<ValkeyNode>) -> Result<Self, CallError> {
        let attempt = Self::set_up(&node);
        match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Broken("connecting took too long".into())),
        }
    }

    async fn set_up(node: &ValkeyNode) -> Result<Self, CallError> {
        let client = client(&node.settings).map_err(|error| broken(&error))?;
        let timeouts =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&timeouts);
        let mut link = connecting.await.map_err(|error| broken(&error))?;
        let msetex = has_msetex(&mut link).await;
        warn_of_eviction(&mut link, node).await;
        let sha = load_script(&mut link).await.map_err(|error| broken(&error))?;
        let mut connection = Self { link, sha, msetex };
        connection.call(&Packed::nothing(), None).await?;
        Ok(connection)
    }

    /// Whether several keys can be written at once.
    pub(super) const fn msetex(&self) -> bool {
        self.msetex
    }

    /// One script call. The server may have forgotten the script: then it executed nothing, and
    /// the call is sent again once.
    pub(super) async fn call(
        &mut self,
        packed: &Packed,
        deadline: Option<Timestamp>,
    ) -> Result<Vec<u8>, CallError> {
        match self.evalsha(packed, deadline).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let loaded = load_script(&mut self.link).await;
                self.sha = loaded.map_err(|error| call_error(&error))?;
                self.evalsha(packed, deadline).await.map_err(|error| call_error(&error))
            }
            outcome => outcome.map_err(|error| call_error(&error)),
        }
    }

    async fn evalsha(
        &mut self,
        packed: &Packed,
        deadline: Option<Timestamp>,
    ) -> Result<Vec<u8>, RedisError> {
        let deadline = deadline.map(|deadline| deadline.get().to_le_bytes());
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(packed.keys.len()).arg(&packed.keys);
        call.arg(b"").arg(deadline.as_ref().map_or(&[][..], |bytes| &bytes[..]));
        call.arg(&packed.input);
        call.query_async(&mut self.link).await
    }
}

fn client(settings: &ValkeySettings) -> Result<Client, RedisError> {
    let host = settings.url.host.trim_matches(['[', ']']).to_owned();
    let mut session = RedisConnectionInfo::default()
        .set_db(settings.url.database.into())
        .set_lib_name("sluicegate", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &settings.username {
        session = session.set_username(username);
    }
    if let Some(password) = &settings.password {
        session = session.set_password(String::from_utf8_lossy(password.expose()));
    }
    let address = ConnectionAddr::Tcp(host, settings.url.port).into_connection_info()?;
    let address = address
        .set_redis_settings(session)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(address)
}

/// `HELLO` without arguments is allowed to every user and tells server and version.
async fn has_msetex(link: &mut MultiplexedConnection) -> bool {
    let hello: Result<HashMap<String, Value>, _> = redis::cmd("HELLO").query_async(link).await;
    let hello = hello.unwrap_or_default();
    let text = |name: &str| {
        let value = hello.get(name).cloned().unwrap_or(Value::Nil);
        redis::from_redis_value::<String>(value).unwrap_or_default()
    };
    let version = text("version");
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    text("server") == "valkey" && version >= MSETEX_SINCE
}

/// Any policy but `noeviction` drops counters when memory is full, and a dropped counter is a
/// fresh one. Said once in the life of the process.
async fn warn_of_eviction(link: &mut MultiplexedConnection, node: &ValkeyNode) {
    let warned = &node.warned_of_eviction;
    if warned.load(Relaxed) {
        return;
    }
    let info: Result<String, _> = redis::cmd("INFO").arg("memory").query_async(link).await;
    let policy = info.ok().and_then(|info| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix("maxmemory_policy:").map(str::to_owned))
    });
    if policy.as_deref() == Some("noeviction") || warned.swap(true, Relaxed) {
        return;
    }
    let store = node.settings.url.to_string();
    match policy {
        Some(policy) => tracing::warn!(
            store,
            policy,
            "the store drops counters when its memory is full: set maxmemory-policy noeviction"
        ),
        None => tracing::warn!(
            store,
            "cannot see the store's maxmemory-policy (allow +info); it must be noeviction"
        ),
    }
}

async fn load_script(link: &mut MultiplexedConnection) -> Result<String, RedisError> {
    redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(link).await
}

/// Errors that the server gave instead of executing, apart from those of a server that does not
/// serve now, leave the connection good.
fn call_error(error: &RedisError) -> CallError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly) => broken(error),
        ErrorKind::Server(_) | ErrorKind::Extension => CallError::Refused(words(error)),
        _ => broken(error),
    }
}

fn broken(error: &RedisError) -> CallError {
    CallError::Broken(words(error))
}

/// The kind of the error and the server's code: its text may repeat keys or names of users.
fn words(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{} ({code})", error.category()),
        None => error.category().to_owned(),
    }
}
