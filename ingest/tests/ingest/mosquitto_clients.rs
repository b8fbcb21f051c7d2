//! The embedded broker with Mosquitto's command-line clients, as a small Mosquitto would serve them.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::support::House;

fn command(program: &str, address: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    command.args(args).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn publish(address: SocketAddr, args: &[&str]) {
    let output = command("mosquitto_pub", address, args).output().await;
    let output = output.expect("apt-get install mosquitto-clients");
    assert!(output.status.success(), "{args:?}: {output:?}");
}

fn subscribe(address: SocketAddr, args: &[&str]) -> Child {
    let child = command("mosquitto_sub", address, args).spawn();
    child.expect("apt-get install mosquitto-clients")
}

async fn lines(child: Child) -> Vec<String> {
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_retained_messages_and_all_qualities() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    for version in ["mqttv311", "mqttv5"] {
        let session = ["-V", version, "-i", "s", "-c", "-q", "2", "-t", "a/#", "-v"];
        let lasting: &[&str] = match version {
            "mqttv5" => &["-x", "300"],
            _ => &[],
        };
        let session = [&session[..], lasting].concat();
        // `-E` leaves once the subscription is made.
        lines(subscribe(address, &[&session[..], &["-E"]].concat())).await;
        let mut expected = Vec::new();
        for qos in ["0", "1", "2"] {
            let args = ["-V", version, "-q", qos, "-t", "a/x", "-m", qos];
            publish(address, &args).await;
            if qos != "0" {
                expected.push(format!("a/x {qos}"));
            }
        }
        let again = subscribe(address, &[&session[..], &["-C", "2", "-W", "20"]].concat());
        assert_eq!(lines(again).await, expected, "{version}");

        publish(
            address,
            &["-V", version, "-q", "1", "-r", "-t", "kept", "-m", "k"],
        )
        .await;
        let kept = [
            "-V", version, "-t", "kept", "-C", "1", "-W", "20", "-F", "%r %p",
        ];
        assert_eq!(lines(subscribe(address, &kept)).await, ["1 k"], "{version}");
        publish(
            address,
            &["-V", version, "-q", "1", "-r", "-t", "kept", "-n"],
        )
        .await;
    }
    assert_eq!(ingest.stats().broker.retained, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_leaves_its_will() {
    let house = House::new();
    let ingest = house.start().await;
    let address = ingest.listen_addr().unwrap();
    for version in ["mqttv311", "mqttv5"] {
        let will = [
            "--will-topic",
            "w",
            "--will-payload",
            "gone",
            "--will-qos",
            "2",
            "--will-retain",
        ];
        let mut dying = subscribe(address, &[&["-V", version, "-t", "x"], &will[..]].concat());
        let connected = || ingest.stats().broker.connections == 1;
        crate::support::until("the client", connected).await;
        dying.kill().await.unwrap();
        let mourner = ["-V", version, "-q", "2", "-t", "w", "-C", "1", "-W", "20"];
        assert_eq!(lines(subscribe(address, &mourner)).await, ["gone"]);
        publish(address, &["-q", "1", "-r", "-t", "w", "-n"]).await;
    }
}
