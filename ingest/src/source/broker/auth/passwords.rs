//! A password file as `mosquitto_passwd` writes it: a line `user:$7$iterations$salt$hash` (PBKDF2
//! with HMAC-SHA-512) or `user:$6$salt$hash` (SHA-512 of password and salt) per user.

use std::collections::HashMap;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use catalog::{Error, Result};
use ring::{digest, pbkdf2};

/// More would let one login keep a core busy for seconds.
const MOST_ITERATIONS: u32 = 5_000_000;
/// Work done for a name that is not in the file, as much as for one that `mosquitto_passwd` made.
const STRANGER: Hash = Hash::Pbkdf2 {
    iterations: NonZeroU32::new(101).expect("not zero"),
    salt: Vec::new(),
    hash: Vec::new(),
};

/// Users and the hashes of their passwords.
#[derive(Default)]
pub(super) struct Passwords {
    users: HashMap<String, Hash>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hash {
    Pbkdf2 {
        iterations: NonZeroU32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Sha512 {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

impl Passwords {
    /// Reads the file's text; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// `InvalidInput` naming the line. A password in clear is one such.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let user = line
                .rsplit_once(':')
                .and_then(|(user, hash)| Some((user, parse_hash(hash)?)));
            let Some((user, hash)) = user.filter(|(user, _)| !user.is_empty()) else {
                // The line may hold a password: it is not shown.
                return Err(Error::invalid(format!(
                    "line {} is not a user and a hashed password",
                    number + 1
                ))
                .with_hint(
                    "write the file with mosquitto_passwd; -U hashes the passwords of one in clear",
                ));
            };
            users.insert(user.to_owned(), hash);
        }
        Ok(Self { users })
    }

    /// The hash to compare a password with; for an unknown user one that no password has, so that
    /// the answer takes as long.
    pub(super) fn of(&self, user: &str) -> Hash {
        self.users.get(user).unwrap_or(&STRANGER).clone()
    }
}

impl Hash {
    /// Whether this is the hash of `password`, in a time that does not depend on how much of it is
    /// right. Takes milliseconds and more: not for a task of the runtime.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Pbkdf2 {
                iterations,
                salt,
                hash,
            } => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::verify(algorithm, *iterations, salt, password, hash).is_ok()
            }
            Self::Sha512 { salt, hash } => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(salt);
                same(context.finish().as_ref(), hash)
            }
        }
    }
}

/// Equality that takes as long wherever the first difference is.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |all, (a, b)| all | (a ^ b));
    left.len() == right.len() && difference == 0
}

/// `$7$iterations$salt$hash` or `$6$salt$hash`, salt and hash in Base64.
fn parse_hash(text: &str) -> Option<Hash> {
    let decode = |text: &str| BASE64.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let fields: Vec<&str> = text.split('$').collect();
    let hash = match fields[..] {
        ["", "7", iterations, salt, hash] => Hash::Pbkdf2 {
            iterations: iterations
                .parse()
                .ok()
                .filter(|n: &NonZeroU32| n.get() <= MOST_ITERATIONS)?,
            salt: decode(salt)?,
            hash: decode(hash)?,
        },
        ["", "6", salt, hash] => Hash::Sha512 {
            salt: decode(salt)?,
            hash: decode(hash)?,
        },
        _ => return None,
    };
    let (Hash::Pbkdf2 { hash: bytes, .. } | Hash::Sha512 { hash: bytes, .. }) = &hash;
    (bytes.len() == digest::SHA512_OUTPUT_LEN).then_some(hash)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What `mosquitto_passwd` wrote for `alice` with `secret` and `bob` with `s2`.
    const FILE: &str = "# users\n\
        alice:$7$101$gwP5bZ13K3cxW22H$Zlt3trkylNjqok9qEKWB2ise2f2N3cHdzc069E3DCDk1EVRBOvvHodn0bVtAVa310uNcv4Qg2HAY/UW7awL42w==\n\
        \n\
        bob:$6$L68rnYTbQCPwtjrG$9FSUVQyRqib5KVox/ac0i0LdT3fVQygTzYHzgqqhbR8SJTKYo82R1oRM+gu+pY13YHdTjAeIBPyO1tF0QwsdpQ==\n";

    #[test]
    fn both_kinds_of_hash_know_their_password() {
        let users = Passwords::parse(FILE).unwrap();
        for (user, password, right) in [
            ("alice", "secret", true),
            ("alice", "Secret", false),
            ("alice", "", false),
            ("bob", "s2", true),
            ("bob", "secret", false),
            ("carol", "secret", false),
            ("", "", false),
        ] {
            let known = users.of(user).is_of(password.as_bytes());
            assert_eq!(known, right, "{user} {password}");
        }
    }

    #[test]
    fn what_mosquitto_passwd_writes_now_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        for (options, user, password) in [
            (&["-c", "-b"][..], "north:1", "pass:wörd"),
            (&["-H", "sha512", "-b"], "south", "$7$"),
            (&["-H", "sha512-pbkdf2", "-I", "5000", "-b"], "west", "x"),
        ] {
            let written = Command::new("mosquitto_passwd")
                .args(options)
                .arg(&file)
                .args([user, password])
                .status();
            // A version that does not let the iterations be chosen still writes the others.
            let Ok(status) = written else {
                panic!("mosquitto_passwd does not run: make setup-test installs it")
            };
            if status.success() {
                let users = Passwords::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
                assert!(users.of(user).is_of(password.as_bytes()), "{user}");
                assert!(!users.of(user).is_of(b"other"), "{user}");
            }
        }
    }

    #[test]
    fn a_line_that_is_no_user_is_named_and_not_shown() {
        let hash = FILE.lines().nth(1).unwrap().split_once(':').unwrap().1;
        for line in [
            "alice:secret".to_owned(),
            "secret".to_owned(),
            format!(":{hash}"),
            hash.replace("$7$101$", "a:$7$0$"),
            hash.replace("$7$101$", "a:$7$4000000000$"),
            hash.replace("$7$", "a:$5$"),
            "a:$6$c2FsdA==$c2hvcnQ=".to_owned(),
            "a:$6$$".to_owned(),
            "a:$7$101$*$*".to_owned(),
        ] {
            let error = Passwords::parse(&format!("{FILE}{line}\n")).err().unwrap();
            assert!(error.message().contains("line 5"), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([a-z]{0,2}[:$0-9A-Za-z+/=\\n#]{0,12}){0,8}") {
            let _ = Passwords::parse(&text);
        }
    }
}
