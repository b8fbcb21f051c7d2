//! Who is let in, and how a token is had.

use serde_json::json;

use crate::support::Served;

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

async fn ask(served: &Served, form: &str) -> crate::support::Answer {
    let form = Some(form.to_owned());
    served.ask("POST", "oauth/tokens", FORM, form).await
}

#[tokio::test]
async fn a_token_is_asked_of_everybody() {
    let mut served = Served::guarded("open sesame").await;
    served.get("config").await.ok();
    for wrong in ["wrong", "", "open"] {
        served = served.with_token(wrong);
        let refused = served.get("config").await;
        refused.refused(401, "NotAuthorizedException");
        assert!(refused.head.contains("www-authenticate: Bearer"));
    }
}

#[tokio::test]
async fn a_client_that_knows_the_token_gets_it() {
    let served = Served::guarded("open sesame").await.without_token();
    for form in [
        "grant_type=client_credentials&client_id=x&client_secret=open+sesame&scope=catalog",
        "grant_type=client_credentials&client_secret=open%20sesame",
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=open%20sesame",
    ] {
        let token = ask(&served, form).await.ok().body;
        assert_eq!(token["access_token"], "open sesame");
        assert_eq!(token["token_type"], "bearer");
    }
    // `duck:open sesame`
    let basic = format!("{FORM}authorization: Basic ZHVjazpvcGVuIHNlc2FtZQ==\r\n");
    let form = Some("grant_type=client_credentials".to_owned());
    let token = served.ask("POST", "oauth/tokens", &basic, form).await.ok();
    assert_eq!(token.body["access_token"], "open sesame");
    for (form, status, error) in [
        (
            "grant_type=client_credentials&client_secret=x",
            401,
            "invalid_client",
        ),
        ("grant_type=client_credentials", 401, "invalid_client"),
        (
            "grant_type=password&client_secret=open+sesame",
            400,
            "unsupported_grant_type",
        ),
        ("client_secret=open+sesame", 400, "invalid_request"),
        ("\u{1f}{", 400, "invalid_request"),
    ] {
        let refused = ask(&served, form).await;
        assert_eq!(
            (refused.status, &refused.body["error"]),
            (status, &json!(error))
        );
        assert!(refused.body["error_description"].is_string());
    }
    let open = Served::start().await;
    let refused = ask(&open, "grant_type=client_credentials&client_secret=x").await;
    assert_eq!(
        (refused.status, &refused.body["error"]),
        (400, &json!("invalid_request"))
    );
}
