//! The WebSocket handshake of a client: the right path and subprotocol, and no web page of a
//! stranger.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HOST, ORIGIN};
use tokio_tungstenite::tungstenite::http::uri::Authority;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, Uri};

use crate::source::websocket::{SUBPROTOCOL, SUBPROTOCOL_HEADER, WebSocket, config};

/// Where WebSocket clients ask.
const PATH: &str = "/mqtt";

/// Answers the client's request to upgrade. `pages` says whether web pages of any site are let in:
/// they may be where everybody has to log in.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    max_packet_bytes: u32,
    pages: bool,
) -> Result<WebSocket<S>, WsError> {
    // The shape of the answer is the library's.
    #[allow(clippy::result_large_err)]
    let answer = |request: &Request, response: Response| answer(request, response, pages);
    let config = config(max_packet_bytes);
    let inner = accept_hdr_async_with_config(stream, answer, Some(config)).await?;
    Ok(WebSocket::new(inner))
}

#[allow(clippy::result_large_err)]
fn answer(
    request: &Request,
    mut response: Response,
    pages: bool,
) -> Result<Response, ErrorResponse> {
    if request.uri().path() != PATH {
        return Err(refusal(StatusCode::NOT_FOUND, "MQTT is at /mqtt"));
    }
    if !pages && is_of_a_page(request) {
        return Err(refusal(
            StatusCode::FORBIDDEN,
            "web pages are let in only where users log in",
        ));
    }
    let offered = request.headers().get_all(SUBPROTOCOL_HEADER).iter();
    let offered = offered.filter_map(|value| value.to_str().ok());
    let mut offered = offered.flat_map(|value| value.split(',').map(str::trim));
    // MQTT-6.0.0-3 and -4.
    if !offered.any(|name| name == SUBPROTOCOL) {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "the subprotocol mqtt is not offered",
        ));
    }
    let chosen = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert(SUBPROTOCOL_HEADER, chosen);
    Ok(response)
}

/// Whether a page of another site may be behind the request. Clients that are no browsers may name
/// the address they ask as their origin; a page's own name may point here too, so it has to be a
/// loopback one.
fn is_of_a_page(request: &Request) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return false;
    };
    let host = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    let origin = origin.to_str().ok().and_then(|o| o.parse::<Uri>().ok());
    let origin = origin.as_ref().and_then(Uri::authority);
    match (&host, origin) {
        (Some(host), Some(origin)) => host != origin || !is_loopback(host.host()),
        _ => true,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(path: &str, headers: &[(&str, &str)], pages: bool) -> u16 {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match answer(&request.body(()).unwrap(), Response::new(()), pages) {
            Ok(response) => {
                assert_eq!(response.headers()[SUBPROTOCOL_HEADER], "mqtt");
                101
            }
            Err(response) => response.status().as_u16(),
        }
    }

    #[test]
    fn path_and_subprotocol_have_to_be_mqtts() {
        let mqtt = (SUBPROTOCOL_HEADER, "mqttv3.1, mqtt");
        assert_eq!(status("/mqtt", &[mqtt], false), 101);
        assert_eq!(status("/mqtt?x=1", &[mqtt], false), 101);
        assert_eq!(status("/", &[mqtt], false), 404);
        assert_eq!(status("/mqtt", &[], false), 400);
        assert_eq!(status("/mqtt", &[(SUBPROTOCOL_HEADER, "soap")], false), 400);
    }

    #[test]
    fn pages_come_in_only_where_users_log_in() {
        let mqtt = (SUBPROTOCOL_HEADER, "mqtt");
        for (origin, host, alone) in [
            ("http://127.0.0.1:9001", "127.0.0.1:9001", 101),
            ("https://localhost:9001", "localhost:9001", 101),
            ("http://[::1]:9001", "[::1]:9001", 101),
            ("https://evil.example", "127.0.0.1:9001", 403),
            ("https://evil.example:9001", "evil.example:9001", 403),
            ("http://127.0.0.1:80", "127.0.0.1:9001", 403),
            ("null", "127.0.0.1:9001", 403),
        ] {
            let headers = [mqtt, ("origin", origin), ("host", host)];
            assert_eq!(status("/mqtt", &headers, false), alone, "{origin}");
            assert_eq!(status("/mqtt", &headers, true), 101, "{origin}");
        }
    }
}
