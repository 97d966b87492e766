//! The PostgreSQL fixture does what the store's tests rely on.

use farthing_testkit::postgres::{PostgresPair, PostgresServer, connect, test_database};
use farthing_testkit::wait_until;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::NoTls;

/// A server with a database and one row in it, committed.
async fn server_with_a_row() -> (PostgresServer, String) {
    let server = PostgresServer::start();
    server.create_database("paid").await;
    let url = server.url("paid");
    let client = connect(&url).await;
    client.batch_execute("CREATE TABLE item (price INTEGER); INSERT INTO item VALUES (5)").await.unwrap();
    (server, url)
}

async fn prices(url: &str) -> Vec<i32> {
    let rows = connect(url).await.query("SELECT price FROM item ORDER BY price", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Whether a URL gives a connection within a second.
async fn answers(url: &str) -> bool {
    let connected = timeout(Duration::from_secs(1), tokio_postgres::connect(url, NoTls)).await;
    connected.is_ok_and(|connected| connected.is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_test_has_a_database_of_its_own_that_is_durable() {
    let (one, other) = (test_database().await, test_database().await);
    connect(one.url()).await.batch_execute("CREATE TABLE item (price INTEGER)").await.unwrap();
    let client = connect(other.url()).await;
    assert!(client.batch_execute("SELECT price FROM item").await.is_err());
    let fsync = client.query_one("SHOW fsync", &[]).await.unwrap();
    assert_eq!(fsync.get::<_, String>(0), "on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_comes_back_with_what_was_committed() {
    let (mut server, url) = server_with_a_row().await;
    let client = connect(&url).await;
    client.batch_execute("BEGIN; INSERT INTO item VALUES (7)").await.unwrap();
    server.kill();
    assert!(client.batch_execute("COMMIT").await.is_err());
    assert!(!answers(&url).await);
    server.start_again();
    assert_eq!(prices(&url).await, [5]);
    server.stop();
    assert!(!answers(&url).await);
    server.start_again();
    assert_eq!(prices(&url).await, [5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_says_nothing_until_it_is_thawed() {
    let (server, url) = server_with_a_row().await;
    let client = connect(&url).await;
    server.freeze();
    let answer = timeout(Duration::from_millis(300), client.batch_execute("SELECT 1")).await;
    assert!(answer.is_err(), "a connection that was open answered: {answer:?}");
    assert!(!answers(&url).await);
    server.thaw();
    assert_eq!(prices(&url).await, [5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_has_what_was_committed() {
    let mut pair = PostgresPair::start().await;
    pair.primary.create_database("paid").await;
    let primary = connect(&pair.primary.url("paid")).await;
    primary.batch_execute("CREATE TABLE item (price INTEGER); INSERT INTO item VALUES (5)").await.unwrap();
    pair.primary.freeze();
    pair.promote();
    let url = pair.standby.url("paid");
    assert_eq!(prices(&url).await, [5]);
    connect(&url).await.batch_execute("INSERT INTO item VALUES (7)").await.unwrap();
    // The old primary still thinks that it is one; but nobody follows it, so it acknowledges nothing any more.
    pair.primary.thaw();
    let late = primary.batch_execute("INSERT INTO item VALUES (9)");
    assert!(timeout(Duration::from_millis(500), late).await.is_err(), "a commit was acknowledged that nobody follows");
    pair.primary.kill();
    assert_eq!(prices(&pair.url("paid")).await, [5, 7]);
}

#[test]
#[ignore = "a part of the next test, in a process of its own"]
fn a_process_with_a_server() {
    let server = PostgresServer::start();
    server.freeze();
    println!("folder {}", server.folder().display());
    std::thread::sleep(Duration::from_secs(600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_server_nor_data_outlive_their_process() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "postgres::a_process_with_a_server", "--nocapture"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let folder = said.find_map(|line| line.split_once("folder ").map(|(_, folder)| folder.to_owned()));
    let folder = folder.expect("the child has a server");
    assert!(Path::new(&folder).exists() && is_mentioned(&folder));
    child.kill().unwrap();
    child.wait().unwrap();
    // Although that server does not react to anything any more.
    wait_until("the folder is gone", || async { !Path::new(&folder).exists() }).await;
    wait_until("the server is gone", || async { !is_mentioned(&folder) }).await;
}

/// Whether a process has a text among its arguments.
fn is_mentioned(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    arguments.any(|arguments| String::from_utf8_lossy(&arguments).contains(text))
}
