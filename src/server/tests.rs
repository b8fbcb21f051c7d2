use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::settings::Secret;

fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.lake.url = folder.join("lake").display().to_string();
    settings.data_dir = folder.join("node");
    settings.listen.http.set_port(0);
    settings.listen.flight.set_port(0);
    settings.mqtt.listen = "127.0.0.1:0".parse().ok();
    settings
}

/// Status and body of one request over a connection of its own.
async fn ask(server: &Server, request: &str, token: &str, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(server.http).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // The server may answer, and hang up, before it has read all of a body it refuses.
    let _ = connection.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn code(body: &str) -> String {
    let error: Value = serde_json::from_str(body).unwrap();
    assert!(error["message"].is_string(), "{error}");
    error["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn http_answers_and_refuses_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&settings(folder.path())).await.unwrap();

    let (status, body) = ask(&server, "GET /health", "", "").await;
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &health["status"]), (200, &"ok".into()));
    assert_eq!(health["parts"]["ingest"]["status"], "ok");

    let (status, body) = ask(&server, "GET /metrics", "", "").await;
    assert_eq!(status, 200);
    assert!(body.contains("\npumphouse_ingest_rows_total 0\n"), "{body}");

    let (status, body) = ask(&server, "GET /nowhere", "", "").await;
    assert_eq!((status, code(&body).as_str()), (404, "not-found"));
    let (status, body) = ask(&server, "GET /v1/predict", "", "").await;
    assert_eq!((status, code(&body).as_str()), (405, "invalid-input"));
    let (status, body) = ask(&server, "POST /v1/predict", "", "{").await;
    assert_eq!((status, code(&body).as_str()), (400, "invalid-input"));
    let request = r#"{"model": "ml.none", "rows": [{"a": 1}]}"#;
    let (status, body) = ask(&server, "POST /v1/predict", "", request).await;
    assert_eq!((status, code(&body).as_str()), (404, "not-found"));

    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_token_guards_all_but_health() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.auth.token = Some(Secret::from("sesame".to_owned()));
    let server = Server::start(&settings).await.unwrap();

    assert_eq!(ask(&server, "GET /health", "", "").await.0, 200);
    assert_eq!(ask(&server, "GET /metrics", "sesame", "").await.0, 200);
    for request in ["GET /metrics", "POST /v1/predict"] {
        let (status, body) = ask(&server, request, "wrong", "").await;
        assert_eq!(
            (status, code(&body).as_str()),
            (401, "unauthenticated"),
            "{request}"
        );
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn web_pages_are_let_in_only_with_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    let post = "POST /iceberg/v1/main/namespaces HTTP/1.1\r\norigin: https://evil.example\r\nx: y";
    let body = r#"{"namespace": ["x"]}"#;
    let server = Server::start(&settings).await.unwrap();
    let (status, answer) = ask(&server, post, "", body).await;
    assert_eq!((status, code(&answer).as_str()), (403, "permission-denied"));
    server.shutdown().await.unwrap();
    settings.auth.token = Some(Secret::from("sesame".to_owned()));
    let server = Server::start(&settings).await.unwrap();
    let (status, _) = ask(&server, post, "sesame", body).await;
    assert_eq!(status, 415, "it is not said to be JSON");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&settings(folder.path())).await.unwrap();
    let connection = TcpStream::connect(server.http).await.unwrap();
    let (mut answer, mut request) = connection.into_split();
    let sending = tokio::spawn(async move {
        let head =
            "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999\r\n\r\n";
        let mut sent = request.write_all(head.as_bytes()).await;
        let piece = vec![b' '; 1 << 20];
        while sent.is_ok() {
            sent = request.write_all(&piece).await;
        }
    });
    let mut status = [0; 12];
    answer.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    sending.abort();
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn only_the_roles_asked_for_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.roles = vec![Role::Query];
    let server = Server::start(&settings).await.unwrap();
    assert!(server.flight.is_some() && server.brokers.is_empty());
    assert!(server.ingest_stats().await.is_none());
    let (_, body) = ask(&server, "GET /health", "", "").await;
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["parts"]["ingest"]["status"], "off");
    assert_eq!(ask(&server, "POST /v1/predict", "", "{}").await.0, 404);
    server.shutdown().await.unwrap();
}
