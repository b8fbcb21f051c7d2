//! The common name in a certificate's subject, read from its DER form.
//!
//! The certificate has been verified before; still nothing here trusts its lengths.

/// Object identifier 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 6;
const UTF8_STRING: u8 = 12;
const PRINTABLE_STRING: u8 = 19;
const IA5_STRING: u8 = 22;
/// The context tag `[0]` of the certificate's version.
const VERSION: u8 = 0xa0;

/// The last common name of the subject of an X.509 certificate (RFC 5280, 4.1); none when it has
/// none, or one that is no plain text.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let mut outer = Der(certificate);
    let mut signed = Der(Der(outer.expect(SEQUENCE)?).expect(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.next()?;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        signed.next()?;
    }
    let mut subject = Der(signed.expect(SEQUENCE)?);
    let mut found = None;
    while !subject.0.is_empty() {
        let mut names = Der(subject.expect(SET)?);
        while !names.0.is_empty() {
            let mut attribute = Der(names.expect(SEQUENCE)?);
            if attribute.expect(OBJECT_IDENTIFIER)? == COMMON_NAME {
                let (tag, value) = attribute.next()?;
                found = Some(text(tag, value)?);
            }
        }
    }
    found
}

fn text(tag: u8, value: &[u8]) -> Option<String> {
    let plain = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
    let text = std::str::from_utf8(value).ok().filter(|_| plain)?;
    let usable = !text.is_empty() && !text.chars().any(char::is_control);
    usable.then(|| text.to_owned())
}

/// What is left of a sequence of DER values.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte));
            (usize::try_from(length).ok()?, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next value, which has this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .and_then(|(found, content)| (found == tag).then_some(content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(name: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let names = &mut params.distinguished_name;
        names.push(DnType::OrganizationName, "x".repeat(200));
        if let Some(name) = name {
            names.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_found() {
        for name in ["pump-7", "Pumpe Süd", "a"] {
            assert_eq!(common_name(&certificate(Some(name))).as_deref(), Some(name));
        }
        for name in [None, Some(""), Some("a\nb")] {
            assert_eq!(common_name(&certificate(name)), None);
        }
    }

    proptest! {
        #[test]
        fn damaged_certificates_do_no_harm(at in 0_usize..600, byte: u8, cut in 0_usize..600) {
            let mut der = certificate(Some("pump"));
            let at = at % der.len();
            der[at] = byte;
            let _ = common_name(&der);
            let _ = common_name(&der[..cut.min(der.len())]);
        }

        #[test]
        fn any_bytes_do_no_harm(bytes: Vec<u8>) {
            let _ = common_name(&bytes);
        }
    }
}
