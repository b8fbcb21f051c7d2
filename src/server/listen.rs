//! Listening: who may reach this process, and ports that are taken.

use std::io::ErrorKind;
use std::net::SocketAddr;

use catalog::{Error, Result};
use tokio::net::TcpListener;

use crate::settings::{Role, Settings, env_name};

/// Refuses addresses that others can reach while nothing asks who they are.
pub(super) fn check_exposure(settings: &Settings) -> Result<()> {
    let open = |address: SocketAddr| !address.ip().is_loopback();
    let token_missing = settings.auth.token.is_none();
    let mut asked = vec![("listen.http", settings.listen.http)];
    if settings.has_role(Role::Query) {
        asked.push(("listen.flight", settings.listen.flight));
    }
    for (setting, address) in asked {
        if token_missing && open(address) {
            return Err(Error::invalid(format!(
                "{setting} = {address} is open to other machines, and no token is asked of them"
            ))
            .with_hint("set PUMPHOUSE_AUTH_TOKEN, or listen on 127.0.0.1"));
        }
    }
    if token_missing && settings.gives_keys() && settings.has_role(Role::Query) {
        return Err(Error::invalid(
            "iceberg.credentials = \"own\" gives keys to the bucket to whoever asks, and no token \
             is asked of them",
        )
        .with_hint("set PUMPHOUSE_AUTH_TOKEN, or write iceberg.credentials = \"none\""));
    }
    if settings.has_role(Role::Ingest) && settings.mqtt.url.is_none() {
        settings.mqtt.embedded().validate()?;
    }
    Ok(())
}

/// Binds the address of a setting, which the flag `--part` sets too.
pub(super) async fn bind(part: &str, setting: &str, address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|e| refused(part, setting, address, e))
}

/// Tells early, and in the same words, that the embedded broker will not get its
/// address; the broker itself binds it later.
pub(super) async fn check_mqtt(settings: &Settings) -> Result<()> {
    if settings.has_role(Role::Ingest)
        && settings.mqtt.url.is_none()
        && let Some(address) = settings.mqtt.listen
    {
        bind("mqtt", "mqtt.listen", address).await?;
    }
    Ok(())
}

fn refused(part: &str, setting: &str, address: SocketAddr, error: std::io::Error) -> Error {
    let variable = env_name(setting);
    let hint = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "port {} is in use: stop what uses it, or choose another with --{part} or {variable}",
            address.port(),
        ),
        _ => format!("choose another address with --{part} or {variable}"),
    };
    Error::unavailable(format!("cannot listen on {address} ({setting})"))
        .with_hint(hint)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Credentials, Secret};

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_setting() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind("http", "listen.http", address).await.unwrap_err();
        assert!(error.is_user_error());
        assert!(error.message().contains(&address.to_string()), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("PUMPHOUSE_LISTEN_HTTP") && hint.contains(&address.port().to_string()),
            "{hint}"
        );
    }

    #[test]
    fn keys_are_given_only_to_who_knows_the_token() {
        let mut settings = Settings::default();
        settings.iceberg.credentials = Credentials::Own;
        assert!(check_exposure(&settings).is_ok(), "a folder has no keys");
        settings.lake.url = "s3://plant/lake".to_owned();
        let error = check_exposure(&settings).unwrap_err();
        assert!(error.message().contains("iceberg.credentials"), "{error}");
        assert!(error.hint().unwrap().contains("PUMPHOUSE_AUTH_TOKEN"));
        settings.auth.token = Some(Secret::from("t".to_owned()));
        assert!(check_exposure(&settings).is_ok());
    }

    #[test]
    fn others_are_let_in_only_with_a_token() {
        let mut settings = Settings::default();
        assert!(check_exposure(&settings).is_ok());
        settings.listen.flight = "0.0.0.0:50051".parse().unwrap();
        assert!(
            check_exposure(&settings)
                .unwrap_err()
                .message()
                .contains("listen.flight")
        );
        settings.auth.token = Some(Secret::from("t".to_owned()));
        assert!(check_exposure(&settings).is_ok());
        settings.mqtt.listen = "[::]:1883".parse().ok();
        assert!(
            check_exposure(&settings)
                .unwrap_err()
                .message()
                .contains("mqtt.listen")
        );
        settings.mqtt.url = Some("mqtt://broker:1883".to_owned());
        assert!(check_exposure(&settings).is_ok());
    }
}
