//! Who may call: everyone, or whoever holds the token.
use tonic::Status;
use tonic::metadata::MetadataMap;

const HEADER: &str = "authorization";
/// Handed out at the handshake where no token is configured: clients insist on getting one.
const ANONYMOUS: &str = "anonymous";

/// The rule for every call.
#[derive(Clone)]
pub(crate) struct Auth {
    token: Option<String>,
}

impl Auth {
    pub(crate) fn new(token: Option<String>) -> Self {
        Auth { token }
    }

    /// Passes a call that carries the token: as `Bearer`, or as the password of `Basic`
    /// with any user name.
    ///
    /// # Errors
    /// `Unauthenticated`, saying which of the two was wrong.
    pub(crate) fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let given = metadata.get(HEADER).and_then(|value| value.to_str().ok());
        let Some(given) = given else {
            return Err(Status::unauthenticated(
                "this server requires a token (send it as bearer token, or as password)",
            ));
        };
        if credential(given).is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
            return Ok(());
        }
        Err(Status::unauthenticated(
            "the token is wrong (check the token the server was started with)",
        ))
    }

    /// The user that a call names beside its password.
    pub(crate) fn user(metadata: &MetadataMap) -> Option<String> {
        let given = metadata.get(HEADER)?.to_str().ok()?;
        let (scheme, value) = given.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(decode_base64(value.trim())?).ok()?;
        let user = decoded.split_once(':')?.0.trim();
        (!user.is_empty()).then(|| user.to_owned())
    }

    /// What a client sends from the handshake on.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token.as_deref().unwrap_or(ANONYMOUS))
    }
}

/// The token inside an `authorization` header.
fn credential(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(decode_base64(value.trim())?).ok()?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    None
}

/// Compares without stopping at the first difference, so that timing tells nothing.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// Standard base64, padded or not; `None` for anything else.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for character in text.trim_end_matches('=').bytes() {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(six)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: Option<&str>, header: Option<&str>) -> bool {
        let mut metadata = MetadataMap::new();
        if let Some(header) = header {
            metadata.insert(HEADER, header.parse().unwrap());
        }
        Auth::new(token.map(str::to_owned)).check(&metadata).is_ok()
    }

    #[test]
    fn only_the_token_passes() {
        assert!(check(None, None));
        assert!(check(None, Some("Bearer whatever")));
        assert!(check(Some("s3cret:x"), Some("Bearer s3cret:x")));
        // "any:s3cret:x"
        assert!(check(Some("s3cret:x"), Some("Basic YW55OnMzY3JldDp4")));
        for wrong in [
            None,
            Some("Bearer s3cret"),
            Some("Bearer "),
            Some("bearer"),
            Some("Basic YW55Ondyb25n"),
            Some("Basic ###"),
            Some("Basic YW55"),
            Some("Digest s3cret:x"),
        ] {
            assert!(!check(Some("s3cret:x"), wrong), "{wrong:?}");
        }
    }

    #[test]
    fn base64_with_and_without_padding() {
        assert_eq!(decode_base64("YTpi").unwrap(), b"a:b");
        assert_eq!(decode_base64("YTo=").unwrap(), b"a:");
        assert_eq!(decode_base64("YTo").unwrap(), b"a:");
        assert_eq!(decode_base64("/+8A").unwrap(), [0xff, 0xef, 0x00]);
        assert!(decode_base64("a-b_").is_none());
    }
}
