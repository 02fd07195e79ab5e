//! The rights of the store's user, as `docs/store.md` has them, on a real server: all of them are
//! needed, none more is, and what is refused is told in the server's own words.

use std::fs;

use futures_util::future::join_all;
use sluicegate::call::Ending;
use sluicegate::settings::{Overrides, StoreSettings, ValkeySettings, load};
use sluicegate::store::{Store, StoreError};
use sluicegate_limits::counter::Op;

use crate::logged::Logged;
use crate::process::folder;
use crate::replica::{end, hold, replica, reserve, seconds, settle, token};
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, ask, command, direct, hourly, login, passes, run, start};

const LIMITS: &str = "
rate_limits:
  window: { key: tenant_id, limit: 100, window: 1h, penalty: { after: 9, within: 1m, block: 1m } }
  bucket: { key: tenant_id, algorithm: token_bucket, limit: 100, window: 1h }
  slots: { key: tenant_id, algorithm: concurrency, limit: 10, hold: 1m }
";

/// The words of the documented command after the password.
fn documented() -> Vec<String> {
    let page = include_str!("../../../docs/store.md");
    let block = page.split("```").find(|block| block.contains("ACL SETUSER")).expect("a command");
    let words: Vec<&str> = block.split_whitespace().collect();
    let (head, rights) = words.split_at(6);
    assert_eq!(head.join(" "), "ACL SETUSER gate reset on >PASSWORD");
    rights.iter().map(|&right| right.to_owned()).collect()
}

/// Makes the user anew, with these rights.
async fn allow(server: &ValkeyServer, rights: &[String]) {
    let user = format!("ACL SETUSER gate reset on >pass-word {}", rights.join(" "));
    command(&mut direct(server).await, &user).await;
}

/// What a service does, on this database; the first thing that is refused.
async fn everything(server: &ValkeyServer, database: u16) -> Result<(), StoreError> {
    let mut settings = login(server.port(), "gate", "pass-word");
    settings.url.database = database;
    let store = start(settings);
    // A write of one counter, writes of several in one call, and a deletion.
    passes(&store, 1, 100).await?;
    for answer in join_all((1..4).map(|counter| passes(&store, counter, 100))).await {
        assert!(answer?);
    }
    let reset = ask(1, hourly(100), Op::Reset, 0);
    store.decide(vec![reset].into(), None).await?;
    the_limiter_as_well(store).await;
    Ok(())
}

/// The records of reservations and holds are keys of another kind.
async fn the_limiter_as_well(store: Store) {
    let limiter = replica(LIMITS, store, 1, Some(0));
    let reserved = reserve(&limiter, "/", 5, seconds(30)).await;
    assert!(reserved.verdict.allowed && !reserved.verdict.degraded, "{reserved:?}");
    let settled = settle(&limiter, &token(&reserved), 3).await;
    assert!(settled.verdict.allowed && !settled.verdict.degraded, "{settled:?}");
    let held = hold(&limiter, "/", seconds(30)).await;
    assert!(end(&limiter, &token(&held), Ending::Release).await.verdict.allowed);
}

/// The text of a refusal.
fn why(outcome: Result<(), StoreError>) -> Option<String> {
    outcome.err().map(|error| error.to_string())
}

#[test]
fn the_documented_rights_are_enough_and_nothing_else_is_tried() {
    let server = ValkeyServer::start(&["--maxmemory", "256mb"]);
    let (logged, _guard) = Logged::start();
    run(async {
        for (database, more) in [(0, None), (3, Some("+select".to_owned()))] {
            let rights: Vec<String> = documented().into_iter().chain(more).collect();
            allow(&server, &rights).await;
            assert_eq!(why(everything(&server, database).await), None, "database {database}");
            let denied = command(&mut direct(&server).await, "ACL LOG").await;
            assert_eq!(denied, redis::Value::Array(Vec::new()), "something else was tried");
        }
        assert_eq!(logged.count("WARN"), 0);
    });
}

#[test]
fn each_of_the_documented_rights_is_needed() {
    let server = ValkeyServer::start(&[]);
    let (logged, _guard) = Logged::start();
    run(async {
        let rights = documented();
        let grants = |right: &&String| right.starts_with(['+', '~']);
        for right in rights.iter().filter(grants) {
            command(&mut direct(&server).await, "FLUSHALL").await;
            let others: Vec<String> = rights.iter().filter(|r| *r != right).cloned().collect();
            allow(&server, &others).await;
            let before = logged.count("maxmemory-policy (allow +info)");
            let failed = why(everything(&server, 0).await);
            match right.as_str() {
                "+info" => {
                    let warned = logged.count("maxmemory-policy (allow +info)");
                    assert_eq!((failed, warned - before), (None, 1), "a warning is all");
                }
                "+client|setinfo" => {
                    assert_eq!(failed, None, "a name is all");
                    let refused = command(&mut direct(&server).await, "ACL LOG").await;
                    assert!(format!("{refused:?}").contains("client|setinfo"), "{refused:?}");
                }
                _ => {
                    let failed = failed.unwrap_or_else(|| panic!("{right} is not needed"));
                    assert!(failed.contains("see store.username, which needs"), "{failed}");
                    let named = if right == "+script|load" { "SCRIPT LOAD: " } else { "EVALSHA: " };
                    assert!(failed.contains(named) && failed.contains("ermission"), "{failed}");
                }
            }
        }
        // With a database there is one more.
        allow(&server, &rights).await;
        let failed = why(everything(&server, 3).await).expect("SELECT is refused");
        let words = "SELECT: NOPERM User gate has no permissions to run the 'select' command";
        assert!(failed.contains(words), "{failed}");
    });
}

#[test]
fn what_the_server_refuses_is_told_in_its_own_words_with_the_setting() {
    let server = ValkeyServer::start(&["--databases", "4"]);
    run(async {
        allow(&server, &documented()).await;
        let wrong = |change: fn(&mut ValkeySettings)| {
            let mut settings = login(server.port(), "gate", "wrong-word");
            change(&mut settings);
            async { why(passes(&start(settings), 1, 10).await.map(drop)).expect("a refusal") }
        };
        let password = wrong(|_| {}).await;
        let words = "AUTH: WRONGPASS invalid username-password pair or user is disabled.; \
                     see store.username and store.password_file";
        assert!(password.contains(words) && !password.contains("wrong-word"), "{password}");
        let user = wrong(|settings| settings.username = Some("nobody".into())).await;
        assert!(user.contains("AUTH: WRONGPASS"), "{user}");
        let no_password = wrong(|settings| settings.password = None).await;
        assert!(no_password.contains("AUTH: WRONGPASS"), "{no_password}");
        command(&mut direct(&server).await, "ACL SETUSER gate +select").await;
        let database = wrong(|settings| {
            settings.password = Some(sluicegate::settings::Secret::new(b"pass-word"));
            settings.url.database = 4;
        });
        let database = database.await;
        let words = "SELECT: ERR DB index is out of range; see the database in store.url";
        assert!(database.contains(words), "{database}");
        command(&mut direct(&server).await, "ACL SETUSER default off").await;
        let nobody = wrong(|settings| (settings.username, settings.password) = (None, None)).await;
        assert!(nobody.contains("HELLO: NOAUTH HELLO must be called with"), "{nobody}");
        let see = "; see store.username and store.password_file";
        assert!(nobody.ends_with(see), "{nobody}");
    });
}

#[test]
fn a_store_that_says_nothing_is_told_with_the_setting_of_its_time() {
    let server = ValkeyServer::start(&[]);
    let (logged, _guard) = Logged::start();
    run(async {
        let settings = ValkeySettings {
            timeout: std::time::Duration::from_millis(100),
            ..login(server.port(), "default", "any")
        };
        command(&mut direct(&server).await, "ACL SETUSER default nopass").await;
        let store = start(settings);
        server.stop();
        while !matches!(passes(&store, 1, 10).await, Err(StoreError::Breaker)) {}
        server.cont();
        assert_eq!(logged.count("no answer to EVALSHA, within store.timeout_ms"), 1);
    });
}

#[test]
fn a_url_with_escapes_logs_in() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let user = "ACL SETUSER g@te/1 reset on >p:%40@ss/ü allkeys allcommands";
        command(&mut direct(&server).await, user).await;
        let folder = folder("escapes");
        let url =
            format!("redis://g%40te%2F1:p%3A%2540%40ss%2F%C3%BC@127.0.0.1:{}/2", server.port());
        let file = folder.join("sluicegate.yaml");
        fs::write(&file, format!("development: true\nstore: '{url}'\n")).unwrap();
        let environment = Some(std::iter::empty::<(String, String)>().collect());
        let settings = load(&Overrides { file: Some(file), environment, ..Overrides::default() });
        let StoreSettings::Valkey(settings) = settings.unwrap().store else { panic!("shared") };
        let store = start(ValkeySettings { timeout: PATIENCE, ..settings });
        assert_eq!(passes(&store, 1, 10).await, Ok(true));
        let mut direct = direct(&server).await;
        command(&mut direct, "SELECT 2").await;
        assert_eq!(command(&mut direct, "DBSIZE").await, redis::Value::Int(2), "in database 2");
    });
}
