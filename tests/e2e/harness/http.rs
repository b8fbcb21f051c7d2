//! The pages of a server, over plain HTTP.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use serde_json::Value;

use super::{PATIENCE, Server};

/// A page as JSON.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Server<'_> {
    /// The health page at `path`.
    pub(crate) fn health(&self, path: &str) -> Page {
        let (status, body) = self.page(path).unwrap();
        let body = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        Page { status, body }
    }

    /// What is answered to a request; no body is null.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Page {
        self.send(
            method,
            path,
            &body.map_or_else(String::new, Value::to_string),
        )
    }

    /// The same with a body that need not be JSON.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Page {
        let (status, body) = self.exchange(method, path, body).unwrap();
        let body = match body.as_str() {
            "" => Value::Null,
            body => serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}")),
        };
        Page { status, body }
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Result<u64, String> {
        let (_, page) = self.page("/metrics")?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.ok_or_else(|| format!("no {name} in {page}"))?;
        value.parse().map_err(|_| format!("{name} is {value}"))
    }

    fn page(&self, path: &str) -> Result<(u16, String), String> {
        self.exchange("GET", path, "")
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
        exchange(self.address("http"), method, path, body)
    }
}

/// The status and body of the answer of the server at `address`.
pub(crate) fn exchange(
    address: impl ToSocketAddrs,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), String> {
    let failed = |e: std::io::Error| e.to_string();
    let mut socket = TcpStream::connect(address).map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or("no status")?, body.to_owned()))
}
