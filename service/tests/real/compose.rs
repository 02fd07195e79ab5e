//! Reads docker-compose.yml: every file that it mounts exists, and every command line is accepted.

use std::path::Path;

use crate::calls::until;
use crate::compose_file::{Service, file, service, services};
use crate::gate::Gate;
use crate::process::{Process, folder, part, repository};
use crate::valkey::Valkey;

fn running<'a>(program: &'a str) -> impl Fn(&Service) -> bool + 'a {
    move |service| service.command[0] == program
}

#[test]
fn every_file_and_name_that_it_uses_exists() {
    let compose = file();
    let services = services();
    for (from, to) in services.iter().flat_map(|s| &s.mounts) {
        assert!(from.is_file(), "{} for {to}", from.display());
    }
    let declared = |section: &str, name: &str| compose[section].get(name).is_some();
    for service in &services {
        let raw = &compose["services"][&service.name];
        for volume in raw["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(from.starts_with('.') || declared("volumes", from), "{from}");
        }
        for network in raw["networks"].as_array().into_iter().flatten() {
            assert!(declared("networks", network.as_str().unwrap()), "{network}");
        }
        if raw.get("build").is_some() {
            assert!(repository("Dockerfile").is_file());
        }
    }
    assert_eq!(services.iter().filter(|s| running("sluicegate")(s)).count(), 3);
}

#[test]
fn the_access_list_of_valkey_is_the_documented_one() {
    let read = |file: &str| std::fs::read_to_string(repository(file)).unwrap();
    let script = read("deploy/compose/make-secrets.sh");
    let commands = script.lines().find_map(|line| line.strip_prefix("commands=")).unwrap();
    let rights = format!("~sg* resetchannels -@all {}", commands.trim_matches('"'));
    let page = read("docs/store.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&rights), "{rights}");
}

#[test]
fn envoy_accepts_its_command_lines() {
    let envoy = part("SLUICEGATE_ENVOY", "envoy-1.40.0/envoy");
    let folder = folder("compose-envoy");
    let mut count = 0;
    for service in services().into_iter().filter(running("envoy")) {
        service.lay_out(&folder);
        let mut command = service.command_in(&folder, &envoy);
        let output = command.args(["--mode", "validate"]).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", service.name);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn valkey_accepts_its_command_line() {
    let folder = folder("compose-valkey");
    let secrets = service("secrets");
    secrets.lay_out(&folder);
    std::fs::create_dir_all(folder.join("secrets")).unwrap();
    let made = secrets.command_in(&folder, Path::new("/bin/sh")).status().unwrap();
    assert!(made.success());
    let valkey = service("valkey");
    valkey.lay_out(&folder);
    let program = part("SLUICEGATE_VALKEY", "valkey-9.1.2.post2/valkey-server");
    let mut command = valkey.command_in(&folder, &program);
    // The volumes of the container are folders here, and no port is taken.
    command.arg("--aclfile").arg(folder.join("secrets/users.acl")).arg("--dir").arg(&folder);
    command.args(["--port", "0", "--unixsocket"]).arg("compose.sock").current_dir(&folder);
    let server = Process::start("valkey", &mut command);
    server.wait_for("readiness", |line| line.contains("Ready to accept").then_some(()));
}

#[tokio::test]
async fn sluicegate_accepts_its_command_lines_and_ends_when_it_is_told_to() {
    let folder = folder("compose-sluicegate");
    let store = Valkey::start(&folder);
    let program = Path::new(env!("CARGO_BIN_EXE_sluicegate"));
    for service in services().into_iter().filter(running("sluicegate")) {
        service.lay_out(&folder);
        let mut gate = Gate::start(service.command_in(&folder, program), &store, 8).await;
        gate.process.signal("TERM");
        let status = until("end", || std::future::ready(gate.process.ended())).await;
        assert!(status.success(), "{}: {status}", service.name);
    }
}
