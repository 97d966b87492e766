//! The admin socket (loss 24: an unauthenticated close; loss 22: a stale lock).

use farthing_gateway::admin::{self, AdminError, AdminHandler, AdminSocket, SOCKET_FILE};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

struct Echo;

impl AdminHandler for Echo {
    async fn handle(&self, request: Value) -> Value {
        json!({ "heard": request })
    }
}

fn data_folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join(SOCKET_FILE);
    (folder, socket)
}

fn serve(socket: &Path) -> JoinHandle<()> {
    let bound = AdminSocket::bind(socket).expect("binds");
    tokio::spawn(async move { bound.serve(Echo).await })
}

#[tokio::test]
async fn answers_its_owner_and_nobody_else() {
    let (_folder, socket) = data_folder();
    let server = serve(&socket);
    let mode = std::fs::metadata(&socket).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for number in 0..3 {
        let answer = admin::call(&socket, &json!({ "redeem": number })).await.expect("an answer");
        assert_eq!(answer, json!({ "heard": { "redeem": number } }));
    }
    server.abort();
}

#[tokio::test]
async fn a_request_that_is_too_long_or_no_json_is_told_so() {
    let (_folder, socket) = data_folder();
    let server = serve(&socket);
    for line in ["not json\n".to_owned(), "x".repeat(70_000)] {
        let mut stream = UnixStream::connect(&socket).await.expect("connects");
        // The server may hang up while more is being written.
        let _ = stream.write_all(line.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"{\"error\":"), "{:?}", String::from_utf8_lossy(&answer));
    }
    let error = admin::call(&socket, &json!("x".repeat(70_000))).await.expect_err("too long");
    assert!(matches!(error, AdminError::TooLong { .. }), "{error}");
    assert!(admin::call(&socket, &json!(1)).await.is_ok());
    server.abort();
}

#[tokio::test]
async fn a_second_gateway_does_not_take_over() {
    let (_folder, socket) = data_folder();
    let server = serve(&socket);
    let error = AdminSocket::bind(&socket).expect_err("in use");
    assert!(matches!(error, AdminError::InUse(_)), "{error}");
    assert!(admin::call(&socket, &json!(1)).await.is_ok(), "the first one still answers");
    server.abort();
}

#[tokio::test]
async fn a_stale_socket_does_not_block_the_next_start() {
    let (_folder, socket) = data_folder();
    // What SIGKILL leaves behind: a socket file that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("binds"));
    assert!(socket.exists());
    let error = admin::call(&socket, &json!(1)).await.expect_err("nobody there");
    assert!(matches!(error, AdminError::NotRunning(_)), "{error}");
    let server = serve(&socket);
    assert!(admin::call(&socket, &json!(1)).await.is_ok());
    server.abort();
    let _ = server.await;
    assert!(!socket.exists(), "an orderly end leaves no socket");
    let error = admin::call(&socket, &json!(1)).await.expect_err("nobody there");
    assert!(matches!(error, AdminError::NotRunning(_)), "{error}");
}

#[tokio::test]
async fn deletes_nothing_that_is_not_a_socket() {
    let (_folder, socket) = data_folder();
    std::fs::write(&socket, "somebody's notes").expect("writes");
    let error = AdminSocket::bind(&socket).expect_err("in the way");
    assert!(matches!(error, AdminError::NotASocket(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&socket).expect("is there"), "somebody's notes");
}
