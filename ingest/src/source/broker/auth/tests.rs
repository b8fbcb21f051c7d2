use std::path::Path;
use std::time::Duration;

use super::*;

/// `alice` with `secret` and `bob` with `s2`.
const USERS: &str = "\
alice:$7$101$gwP5bZ13K3cxW22H$Zlt3trkylNjqok9qEKWB2ise2f2N3cHdzc069E3DCDk1EVRBOvvHodn0bVtAVa310uNcv4Qg2HAY/UW7awL42w==
bob:$6$L68rnYTbQCPwtjrG$9FSUVQyRqib5KVox/ac0i0LdT3fVQygTzYHzgqqhbR8SJTKYo82R1oRM+gu+pY13YHdTjAeIBPyO1tF0QwsdpQ==
";

fn peer(public: bool, certificate: Option<&str>) -> Peer {
    Peer {
        address: "192.0.2.1:4000".parse().unwrap(),
        public,
        certificate: certificate.map(str::to_owned),
    }
}

fn access(folder: &Path, change: impl FnOnce(&mut BrokerConfig)) -> Result<Access> {
    std::fs::write(folder.join("users"), USERS).unwrap();
    let mut config = BrokerConfig {
        users: Some(folder.join("users")),
        ..BrokerConfig::default()
    };
    change(&mut config);
    Access::new(&config)
}

/// The user's name, or how it was refused.
async fn asked(
    access: &Access,
    peer: &Peer,
    login: Option<(&str, &str)>,
) -> std::result::Result<Option<String>, u8> {
    let verdict = access.check(Credentials {
        peer,
        client_id: "c",
        user: login.map(|(user, _)| user),
        password: login.map(|(_, password)| password.as_bytes()),
    });
    match verdict.await {
        Verdict::Granted(rights) => Ok(rights.user().map(str::to_owned)),
        Verdict::BadUserOrPassword => Err(0x86),
        Verdict::NotAuthorized => Err(0x87),
    }
}

#[tokio::test]
async fn a_client_is_who_its_password_or_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    let users = access(folder.path(), |_| {}).unwrap();
    let (near, far) = (peer(false, None), peer(true, None));
    let shown = peer(true, Some("pump-7"));
    // Twice, since the second answer comes from memory.
    for _ in 0..2 {
        let right = asked(&users, &far, Some(("alice", "secret"))).await;
        assert_eq!(right, Ok(Some("alice".into())));
        let wrong = asked(&users, &near, Some(("alice", "s2"))).await;
        assert_eq!(wrong, Err(0x86));
    }
    assert_eq!(asked(&users, &near, None).await, Err(0x87));
    assert_eq!(asked(&users, &shown, None).await, Ok(Some("pump-7".into())));
    assert_eq!(asked(&users, &shown, Some(("pump-7", ""))).await, Err(0x86));

    let both = access(folder.path(), |c| c.allow_anonymous = Some(true)).unwrap();
    assert_eq!(asked(&both, &near, None).await, Ok(None));
    assert_eq!(asked(&both, &near, Some(("eve", ""))).await, Err(0x86));
    assert_eq!(asked(&both, &far, None).await, Err(0x87));

    let open = access(folder.path(), |c| c.users = None).unwrap();
    assert_eq!(asked(&open, &near, Some(("eve", "x"))).await, Ok(None));
    assert_eq!(asked(&open, &far, Some(("eve", "x"))).await, Err(0x87));
    let closed = access(folder.path(), |c| {
        (c.users, c.allow_anonymous) = (None, Some(false));
    });
    assert_eq!(asked(&closed.unwrap(), &near, None).await, Err(0x87));
}

#[tokio::test]
async fn users_come_and_go_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let users = access(folder.path(), |_| {}).unwrap();
    let here = peer(false, None);
    let alice = Some(("alice", "secret"));
    assert!(asked(&users, &here, alice).await.is_ok());
    let file = folder.path().join("users");
    std::fs::write(&file, "broken").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(
        asked(&users, &here, alice).await.is_ok(),
        "the old one holds"
    );
    std::fs::write(&file, USERS.lines().nth(1).unwrap()).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while asked(&users, &here, alice).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "she is still let in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(asked(&users, &here, Some(("bob", "s2"))).await.is_ok());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = access(folder.path(), |c| c.users = Some("/no/such".into()));
    assert!(error.err().unwrap().message().contains("/no/such"));
    std::fs::write(folder.path().join("acl"), "topics x\n").unwrap();
    let error = access(folder.path(), |c| c.acl = Some(folder.path().join("acl")));
    let error = error.err().unwrap();
    assert!(error.message().contains("acl: line 1"), "{error}");
    let error = access(folder.path(), |c| c.users = Some("/dev/zero".into()));
    assert!(error.err().unwrap().message().contains("too large"));
}

#[tokio::test]
async fn rules_are_asked_with_the_users_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acl");
    std::fs::write(&file, "user alice\ntopic a/#\npattern read to/%c\n").unwrap();
    let access = access(folder.path(), |c| c.acl = Some(file)).unwrap();
    let peer = peer(true, None);
    let verdict = access.check(Credentials {
        peer: &peer,
        client_id: "c",
        user: Some("alice"),
        password: Some(b"secret"),
    });
    let Verdict::Granted(rights) = verdict.await else {
        panic!("alice is not let in");
    };
    assert!(rights.publish("a/b") && !rights.publish("to/c") && !rights.publish("b"));
    assert!(rights.subscribe("to/c") && !rights.subscribe("to/d") && !rights.subscribe("#"));
}
