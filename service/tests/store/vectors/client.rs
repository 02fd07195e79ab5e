//! Two independent clients that run the script: what the service uses, and another.

use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use sluicegate::store::valkey::SCRIPT;
use sluicegate::store::valkey::packing::Packed;
use sluicegate_limits::time::Timestamp;

use crate::valkey::ValkeyServer;

/// A client that can run the script on one connection.
pub(super) trait Client {
    async fn call(&mut self, packed: &Packed, now: Timestamp) -> Vec<u8>;
    async fn get(&mut self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>>;
    async fn set(&mut self, key: &[u8], bytes: Option<&[u8]>);
}

pub(super) struct Redis {
    connection: redis::aio::MultiplexedConnection,
    sha: String,
}

impl Redis {
    pub(super) async fn connect(server: &ValkeyServer) -> Self {
        let mut connection = crate::world::direct(server).await;
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
        let sha = load.query_async(&mut connection).await.expect("loads the script");
        Self { connection, sha }
    }
}

impl Client for Redis {
    async fn call(&mut self, packed: &Packed, now: Timestamp) -> Vec<u8> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(packed.keys.len()).arg(&packed.keys);
        call.arg(&now.get().to_le_bytes()).arg(b"").arg(&packed.input);
        call.query_async(&mut self.connection).await.expect("the script answers")
    }

    async fn get(&mut self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let get = redis::cmd("MGET").arg(keys).to_owned();
        get.query_async(&mut self.connection).await.expect("reads the counters")
    }

    async fn set(&mut self, key: &[u8], bytes: Option<&[u8]>) {
        let command = match bytes {
            Some(bytes) => redis::cmd("SET").arg(key).arg(bytes).to_owned(),
            None => redis::cmd("DEL").arg(key).to_owned(),
        };
        let _: redis::Value =
            command.query_async(&mut self.connection).await.expect("writes a counter");
    }
}

/// The second, independent client: the same script, keys and bytes serve it.
pub(super) struct Fred {
    client: fred::clients::Client,
    sha: String,
}

impl Fred {
    pub(super) async fn connect(server: &ValkeyServer) -> Self {
        let server = fred::types::config::ServerConfig::new_centralized("127.0.0.1", server.port());
        let address = fred::types::config::Config { server, ..Default::default() };
        let client = fred::clients::Client::new(address, None, None, None);
        client.init().await.expect("connects");
        let sha = client.script_load(SCRIPT).await.expect("loads the script");
        Self { client, sha }
    }
}

impl Client for Fred {
    async fn call(&mut self, packed: &Packed, now: Timestamp) -> Vec<u8> {
        let now = now.get().to_le_bytes();
        let args = [&now[..], &[], &packed.input].map(fred::bytes::Bytes::copy_from_slice);
        let keys: Vec<fred::types::Key> =
            packed.keys.iter().map(|key| key.as_slice().into()).collect();
        let answer: fred::bytes::Bytes =
            self.client.evalsha(&self.sha, keys, args.to_vec()).await.expect("the script answers");
        answer.to_vec()
    }

    async fn get(&mut self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let keys: Vec<fred::types::Key> = keys.iter().map(|key| key.as_slice().into()).collect();
        let stored: Vec<Option<fred::bytes::Bytes>> =
            self.client.mget(keys).await.expect("reads the counters");
        stored.into_iter().map(|bytes| bytes.map(|bytes| bytes.to_vec())).collect()
    }

    async fn set(&mut self, key: &[u8], bytes: Option<&[u8]>) {
        let done: Result<(), _> = match bytes {
            Some(bytes) => self.client.set(key, bytes, None, None, false).await,
            None => self.client.del(key).await,
        };
        done.expect("writes a counter");
    }
}
