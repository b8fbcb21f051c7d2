//! Web pages: what a browser on this machine sends in their name.
//!
//! Without a token everybody on this machine is let in, so a page of any site could write
//! here through the browser of who looks at it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catalog::Error;

use super::http::{Failure, State};

/// Refuses what pages send, unless a token is asked of everybody.
pub(super) async fn check(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    if state.token.is_some() || !is_of_a_page(&request) {
        return next.run(request).await;
    }
    let error = Error::permission_denied("web pages are not let in, nor names of other machines")
        .with_hint("ask 127.0.0.1 or localhost, or set PUMPHOUSE_AUTH_TOKEN and send the token");
    Failure::from(error).into_response()
}

/// Whether the request names a page it comes from, or a host that is not this machine: a
/// page may have its own name point here.
fn is_of_a_page(request: &Request) -> bool {
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    let named = |host: &str| {
        host.parse::<Authority>()
            .is_ok_and(|it| is_loopback(it.host()))
    };
    let mut authority = request.uri().authority().into_iter();
    headers.contains_key(ORIGIN)
        || hosts.any(|host| !host.to_str().is_ok_and(named))
        || authority.any(|it| !is_loopback(it.host()))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn pages_and_other_names_are_told_from_clients() {
        let asks = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/metrics");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_of_a_page(&request.body(Body::empty()).unwrap())
        };
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:80",
            "127.9.9.9",
            "[::1]:8080",
        ] {
            assert!(!asks(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost@x",
            "",
        ] {
            assert!(asks(&[("host", host)]), "{host}");
        }
        assert!(asks(&[("host", "localhost"), ("origin", "null")]));
        assert!(asks(&[("host", "localhost"), ("host", "evil.example")]));
        let absolute = Request::builder().uri("http://evil.example/metrics");
        assert!(is_of_a_page(&absolute.body(Body::empty()).unwrap()));
    }
}
