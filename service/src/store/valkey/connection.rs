//! One connection to the server: how it is made, and one script call on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, ServerErrorKind, Value,
};
use sluicegate_limits::time::Timestamp;

use super::packing::Packed;
use super::{SCRIPT, ValkeyNode};
use crate::clock;
use crate::output::shown;
use crate::settings::{Secret, ValkeySettings};

/// An attempt to connect ends after this long, whoever still waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How errors name what was done.
const CONNECT: &str = "connecting";
const LOAD: &str = "SCRIPT LOAD";
const CALL: &str = "EVALSHA";
/// The most characters of the server's words that are repeated.
const MAX_WORDS: usize = 300;
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
            Err(_) => {
                let what = format!("{CONNECT}: no connection in {CONNECT_TIMEOUT:?}");
                Err(CallError::Broken(format!("{what}; see store.url")))
            }
        }
    }

    async fn set_up(node: &ValkeyNode) -> Result<Self, CallError> {
        let settings = &node.settings;
        let client = client(settings).map_err(|error| broken(CONNECT, &error))?;
        let timeouts =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&timeouts);
        let mut link = connecting.await.map_err(|error| broken(CONNECT, &error))?;
        log_in(&link, settings).await?;
        let msetex = has_msetex(&mut link).await?;
        node.memory.look(&mut link, &node.settings.url).await;
        let sha = load_script(&mut link).await.map_err(|error| broken(LOAD, &error))?;
        let mut connection = Self { link, sha, msetex };
        connection.call(&Packed::nothing(), None).await?;
        Ok(connection)
    }

    /// Whether several keys can be written at once.
    pub(super) const fn msetex(&self) -> bool {
        self.msetex
    }

    /// Looks how full the server is, beside the calls, where it is time to.
    pub(super) fn look_at_memory(&self, node: &Arc<ValkeyNode>) {
        if !node.memory.is_due(clock::instant()) {
            return;
        }
        let (mut link, node) = (self.link.clone(), Arc::clone(node));
        tokio::spawn(async move {
            let look = node.memory.look(&mut link, &node.settings.url);
            // What gets no answer is tried again soon.
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, look).await;
        });
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
                self.sha = loaded.map_err(|error| call_error(LOAD, &error))?;
                self.evalsha(packed, deadline).await.map_err(|error| call_error(CALL, &error))
            }
            outcome => outcome.map_err(|error| call_error(CALL, &error)),
        }
    }

    async fn evalsha(
        &mut self,
        packed: &Packed,
        deadline: Option<Timestamp>,
    ) -> Result<Vec<u8>, RedisError> {
        let deadline = deadline.map(|deadline| deadline.get().to_le_bytes());
        let mut call = redis::cmd(CALL);
        call.arg(&self.sha).arg(packed.keys.len()).arg(&packed.keys);
        call.arg(b"").arg(deadline.as_ref().map_or(&[][..], |bytes| &bytes[..]));
        call.arg(&packed.input);
        call.query_async(&mut self.link).await
    }
}

fn client(settings: &ValkeySettings) -> Result<Client, RedisError> {
    let host = settings.url.host.trim_matches(['[', ']']).to_owned();
    // Who we are is said by `log_in`: the client would keep the server's words about it to itself.
    let session = RedisConnectionInfo::default().set_skip_set_lib_name();
    let address = ConnectionAddr::Tcp(host, settings.url.port).into_connection_info()?;
    let address = address
        .set_redis_settings(session)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(address)
}

/// Says who we are, which database is meant, and what the connection is called. All of it is sent
/// together; the answers come in its order.
async fn log_in(link: &MultiplexedConnection, settings: &ValkeySettings) -> Result<(), CallError> {
    let ValkeySettings { username, password, .. } = settings;
    let auth = (username.is_some() || password.is_some()).then(|| {
        // Without a user it is a password of the server's own.
        let user = username.as_ref().map(String::as_bytes);
        let password = password.as_ref().map_or(&[][..], Secret::expose);
        redis::cmd("AUTH").arg(user).arg(password).to_owned()
    });
    let database = settings.url.database;
    let select = (database > 0).then(|| redis::cmd("SELECT").arg(database).to_owned());
    let named = |key: &str, value: &str| {
        Some(redis::cmd("CLIENT").arg("SETINFO").arg(key).arg(value).to_owned())
    };
    let (version, name) = (env!("CARGO_PKG_VERSION"), "sluicegate");
    let (logged_in, selected, ..) = tokio::join!(
        biased;
        ask(link, "AUTH", auth),
        ask(link, "SELECT", select),
        // Older servers do not know it, and nothing depends on it.
        ask(link, "CLIENT SETINFO", named("LIB-NAME", name)),
        ask(link, "CLIENT SETINFO", named("LIB-VER", version)),
    );
    logged_in.and(selected)
}

async fn ask(
    link: &MultiplexedConnection,
    name: &str,
    command: Option<Cmd>,
) -> Result<(), CallError> {
    let Some(command) = command else { return Ok(()) };
    let answer = command.query_async::<Value>(&mut link.clone()).await;
    answer.map(drop).map_err(|error| broken(name, &error))
}

/// `HELLO` without arguments is allowed to every user and tells server and version.
/// It is also the first that a server refuses which nobody may use without a password.
async fn has_msetex(link: &mut MultiplexedConnection) -> Result<bool, CallError> {
    let hello: Result<HashMap<String, Value>, _> = redis::cmd("HELLO").query_async(link).await;
    let hello = match hello {
        Err(error) if error.code() == Some("NOAUTH") => return Err(broken("HELLO", &error)),
        hello => hello.unwrap_or_default(),
    };
    let text = |name: &str| {
        let value = hello.get(name).cloned().unwrap_or(Value::Nil);
        redis::from_redis_value::<String>(value).unwrap_or_default()
    };
    let version = text("version");
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Ok(text("server") == "valkey" && version >= MSETEX_SINCE)
}

async fn load_script(link: &mut MultiplexedConnection) -> Result<String, RedisError> {
    redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(link).await
}

/// Errors that the server gave instead of executing, apart from those of a server that does not
/// serve now, leave the connection good.
fn call_error(command: &str, error: &RedisError) -> CallError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly) => {
            broken(command, error)
        }
        ErrorKind::Server(_) | ErrorKind::Extension => CallError::Refused(words(command, error)),
        _ => broken(command, error),
    }
}

fn broken(command: &str, error: &RedisError) -> CallError {
    CallError::Broken(words(command, error))
}

/// What failed, in the server's own words, and the setting to look at. Neither holds a password or
/// a value of a request: what is sent is numbers and hashes.
fn words(command: &str, error: &RedisError) -> String {
    let said = match error.code() {
        Some(code) => [code, error.detail().unwrap_or_default()].join(" "),
        None => error.to_string(),
    };
    let said: String = shown(said.trim()).chars().take(MAX_WORDS).collect();
    let see = advice(command, error.code().unwrap_or_default(), &said);
    format!("{command}: {said}; see {see}")
}

/// Where to look when the server answers so.
fn advice(command: &str, code: &str, said: &str) -> &'static str {
    const RIGHTS: &str = "store.username, which needs the rights in docs/store.md";
    match (command, code) {
        (_, "NOPERM") => RIGHTS,
        // The script was refused one of its own commands.
        _ if said.contains("ACL failure") => RIGHTS,
        ("AUTH", _) | (_, "NOAUTH" | "WRONGPASS") => "store.username and store.password_file",
        ("SELECT", _) => "the database in store.url",
        (_, "OOM") => "the store's maxmemory: docs/store.md says how much it needs",
        _ => "store.url",
    }
}
