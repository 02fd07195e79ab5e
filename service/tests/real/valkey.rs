//! A real Valkey with the configuration and the access list of `deploy/compose`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Process, free_address, part, repository};

/// One Valkey on a port that stays the same over restarts.
pub(crate) struct Valkey {
    process: Process,
    port: u16,
    users: PathBuf,
    secrets: PathBuf,
    data: PathBuf,
}

impl Valkey {
    /// Makes the secrets in `folder` and starts the server there.
    pub(crate) fn start(folder: &Path) -> Self {
        let [users, secrets, data] =
            ["valkey-secrets", "replica-secrets", "data"].map(|name| folder.join(name));
        for folder in [&users, &secrets, &data] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut make = Command::new("sh");
        make.arg(repository("deploy/compose/make-secrets.sh")).arg(&users).arg(&secrets);
        assert!(make.status().unwrap().success(), "make-secrets.sh failed");
        let port = free_address().port();
        Self { process: launch(port, &users, &data), port, users, secrets, data }
    }

    /// Its address as the settings name it.
    pub(crate) fn url(&self) -> String {
        format!("valkey://127.0.0.1:{}", self.port)
    }

    /// One of the files that `make-secrets.sh` made for the replicas.
    pub(crate) fn secret_file(&self, name: &str) -> PathBuf {
        self.secrets.join(name)
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port with what it had written.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = launch(self.port, &self.users, &self.data);
    }

    /// Stops it without closing anything: it is there and says nothing.
    pub(crate) fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.process.signal("CONT");
    }
}

fn launch(port: u16, users: &Path, data: &Path) -> Process {
    let mut server = Command::new(part("SLUICEGATE_VALKEY", "valkey-9.1.2.post2/valkey-server"));
    server.arg(repository("deploy/compose/valkey.conf"));
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendfsync", "always"]);
    server.arg("--aclfile").arg(users.join("users.acl")).arg("--dir").arg(data);
    let process = Process::start("valkey", &mut server);
    process.wait_for("readiness", |line| line.contains("Ready to accept").then_some(()));
    process
}
