//! The bearer token of the HTTP interface.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catalog::Error;

use super::http::{Failure, State};

/// Lets a request through when no token is asked or it carries the right one.
pub(super) async fn check(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let wanted = state.token.as_ref().map(|token| token.expose());
    if wanted.is_none_or(|wanted| carries(request.headers(), wanted)) {
        return next.run(request).await;
    }
    let error = Error::unauthenticated("the request carries no valid token")
        .with_hint("send the header `Authorization: Bearer TOKEN`");
    let mut response = Failure::from(error).into_response();
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        header::HeaderValue::from_static("Bearer"),
    );
    response
}

fn carries(headers: &HeaderMap, wanted: &str) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = given.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && same(token.trim().as_bytes(), wanted.as_bytes())
}

/// Equality that takes as long wherever the first difference is, so that the time
/// of an answer tells nothing about the token.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_bearer_token_passes() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            carries(&headers, "swordfish")
        };
        assert!(with("Bearer swordfish"));
        assert!(with("bearer swordfish"));
        for wrong in [
            "swordfish",
            "Bearer",
            "Bearer swordfis",
            "Bearer swordfisH",
            "Basic swordfish",
        ] {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(!carries(&HeaderMap::new(), "swordfish"));
    }
}
