//! What the script does beside deciding: versions, deadlines, times to live.

use sluicegate::store::valkey::SCRIPT;
use sluicegate::store::valkey::packing::{
    Answer, Packed, Undecided, counter_key, pack, record_key, unpack,
};
use sluicegate_limits::counter::Op;
use sluicegate_limits::decide::{Check, Key, Outcome, SETTLE_GRACE};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::valkey::ValkeyServer;
use crate::world::{ask, command, direct, hourly, run, take};

type Link = redis::aio::MultiplexedConnection;

/// Runs the script by its text, on the server's clock.
async fn eval(link: &mut Link, packed: &Packed, deadline: &[u8]) -> redis::RedisResult<Vec<u8>> {
    let mut eval = redis::cmd("EVAL");
    eval.arg(SCRIPT).arg(packed.keys.len()).arg(&packed.keys);
    eval.arg(b"").arg(deadline).arg(&packed.input);
    eval.query_async(link).await
}

async fn decide(
    link: &mut Link,
    checks: &[Check],
    msetex: bool,
) -> Vec<Result<Outcome, Undecided>> {
    let packed = pack(checks.iter(), msetex);
    let answer = eval(link, &packed, b"").await.expect("the script answers");
    match unpack(&answer, checks.iter()).expect("a readable answer") {
        Answer::Decided { checks, .. } => checks,
        Answer::Late { .. } => panic!("late without a deadline"),
    }
}

/// Seconds that the counter of an ask lives; -1 for ever, -2 where there is none.
async fn seconds_to_live(link: &mut Link, counter: u8) -> i64 {
    time_to_live(link, counter_key(&take(counter, 1).key)).await
}

async fn time_to_live(link: &mut Link, key: Vec<u8>) -> i64 {
    redis::cmd("TTL").arg(key).query_async(link).await.expect("answers")
}

async fn is_empty(link: &mut Link) -> bool {
    command(link, "DBSIZE").await == redis::Value::Int(0)
}

#[test]
fn another_version_is_an_error_before_any_write() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let mut link = direct(&server).await;
        let check = Check::from(vec![take(1, 5)]);
        let mut packed = pack([&check].into_iter(), true);
        packed.input[0] = 2;
        let error = eval(&mut link, &packed, b"").await.expect_err("an unknown version");
        assert!(error.to_string().contains("version 2"), "{error}");
        assert!(is_empty(&mut link).await);
    });
}

#[test]
fn a_late_call_writes_nothing_and_tells_the_time() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let mut link = direct(&server).await;
        let check = Check::from(vec![take(1, 5)]);
        let packed = pack([&check].into_iter(), true);
        let past = 1_000_u64.to_le_bytes();
        let answer = eval(&mut link, &packed, &past).await.expect("the script answers");
        let answer = unpack(&answer, [&check].into_iter()).expect("a readable answer");
        let Answer::Late { now } = answer else { panic!("{answer:?}") };
        assert!(now > Timestamp::new(1_700_000_000_000_000));
        assert!(is_empty(&mut link).await);
        let future = (now.get() + 60_000_000).to_le_bytes();
        let answer = eval(&mut link, &packed, &future).await.expect("the script answers");
        let answer = unpack(&answer, [&check].into_iter()).expect("a readable answer");
        assert!(matches!(answer, Answer::Decided { .. }), "{answer:?}");
    });
}

#[test]
fn a_counter_lives_until_it_is_fresh_and_an_empty_one_is_deleted() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let mut link = direct(&server).await;
        for msetex in [true, false] {
            let checks = [vec![take(1, 5)].into(), vec![take(2, 5), take(3, 5)].into()];
            assert!(decide(&mut link, &checks, msetex).await.iter().all(Result::is_ok));
            for counter in 1..=3 {
                // An hour and a second, up to a power of two.
                let seconds = seconds_to_live(&mut link, counter).await;
                assert!((3_601..=4_096).contains(&seconds), "{seconds}");
            }
            let resets = (1..=3).map(|counter| ask(counter, hourly(5), Op::Reset, 0));
            decide(&mut link, &[resets.collect()], msetex).await;
            assert_eq!(seconds_to_live(&mut link, 2).await, -2);
        }
        let generation = command(&mut link, "TTL sg:generation").await;
        assert_eq!(generation, redis::Value::Int(-1), "kept for ever");
        assert_eq!(command(&mut link, "DBSIZE").await, redis::Value::Int(1), "and alone");
    });
}

#[test]
fn a_record_lives_as_long_as_its_reservation_and_twice_the_grace() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let mut link = direct(&server).await;
        for (name, msetex) in [(1, true), (2, false)] {
            let hold = Op::Hold { lasting: Micros::MINUTE, quantum: Micros::ZERO };
            let check = Check::from(vec![ask(name, hourly(5), hold, 2)]);
            let held = decide(&mut link, &[check], msetex).await.remove(0);
            let held = held.expect("the script decides");
            let settle = Op::Settle { end: held.replies[0].end, held: Tokens::new(2) };
            let id = Key { partition: name, hash: [name; 16] };
            let asks = vec![ask(name, hourly(5), settle, 0)];
            let check = Check { asks, once: Some(id.into()) };
            decide(&mut link, std::slice::from_ref(&check), msetex).await;
            assert_eq!(seconds_to_live(&mut link, name).await, -2, "nothing is taken");
            let least = Micros::MINUTE.plus(SETTLE_GRACE).plus(SETTLE_GRACE).to_seconds_up();
            let most = least.next_power_of_two();
            let seconds = time_to_live(&mut link, record_key(&id)).await;
            assert!((least - 1..=most).contains(&(seconds as u64)), "{seconds} of {least}");
            let set = redis::cmd("SET").arg(record_key(&id)).arg("no record").to_owned();
            let _: redis::Value = set.query_async(&mut link).await.expect("spoils the record");
            let spoilt = decide(&mut link, std::slice::from_ref(&check), msetex).await.remove(0);
            assert_eq!(spoilt, Err(Undecided::BadState { ask: 1 }), "never as if there were none");
        }
    });
}
