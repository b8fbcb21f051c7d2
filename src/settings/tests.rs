use std::collections::BTreeMap;

use super::*;
use crate::settings::Role;

const EXAMPLE: &str = include_str!("../../pumphouse.example.toml");

fn load(file: &str, env: &[(&str, &str)], flags: &[Flag]) -> Result<Settings> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pumphouse.toml");
    std::fs::write(&path, file).unwrap();
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    Settings::load(
        Some(&path),
        |name| env.get(name).map(|v| (*v).to_owned()),
        flags,
    )
}

fn lake_flag(value: &str) -> Flag {
    Flag {
        name: "--lake",
        path: "lake.url",
        value: value.to_owned(),
    }
}

/// The example with its settings put in force: a commented setting is `#name = ...`
/// or `#[section]`, text is `# ...`.
fn uncommented_example() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "[lake]\nurl = \"file-lake\"";
    let env = [("PUMPHOUSE_LAKE_URL", "env-lake")];
    assert_eq!(
        load("", &[], &[]).unwrap().lake.url,
        Settings::default().lake.url
    );
    assert_eq!(load(file, &[], &[]).unwrap().lake.url, "file-lake");
    assert_eq!(load(file, &env, &[]).unwrap().lake.url, "env-lake");
    assert_eq!(
        load(file, &env, &[lake_flag("flag-lake")])
            .unwrap()
            .lake
            .url,
        "flag-lake"
    );
}

#[test]
fn environment_values_of_every_kind() {
    let settings = load(
        "",
        &[
            ("PUMPHOUSE_ROLES", "ingest, query"),
            ("PUMPHOUSE_LISTEN_HTTP", "127.0.0.1:0"),
            ("PUMPHOUSE_MQTT_RECEIVE_MAXIMUM", "17"),
            ("PUMPHOUSE_MQTT_SUBSCRIBE", "a/+/b,c/#"),
            ("PUMPHOUSE_INGEST_FLUSH_BYTES", "1MiB"),
            ("PUMPHOUSE_INGEST_FLUSH_INTERVAL", "250ms"),
            ("PUMPHOUSE_LAKE_S3_SECRET_KEY", "12345"),
            ("PUMPHOUSE_AUTH_TOKEN", ""),
            (
                "PUMPHOUSE_STREAM",
                r#"[{"name": "rigs", "topic": "rigs/{rig}/telemetry", "table": "rigs.telemetry"}]"#,
            ),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(settings.roles, [Role::Ingest, Role::Query]);
    assert_eq!(settings.listen.http.port(), 0);
    assert_eq!(settings.mqtt.receive_maximum, 17);
    assert_eq!(settings.mqtt.subscribe, ["a/+/b", "c/#"]);
    assert_eq!(settings.ingest.flush_bytes, 1 << 20);
    assert_eq!(settings.ingest.flush_interval.as_millis(), 250);
    assert_eq!(settings.lake.s3.secret_key.unwrap().expose(), "12345");
    assert!(settings.auth.token.is_none());
    assert_eq!(settings.streams.len(), 1);
    assert_eq!(settings.streams[0].table.to_string(), "rigs.telemetry");
}

#[test]
fn lists_of_tables_and_fractions_come_from_the_environment_too() {
    let retrain = r#"[{"model": "ml.x", "spec": "x.toml", "every": "1h"}]"#;
    let env = [
        ("PUMPHOUSE_ML_RETRAIN", retrain),
        ("PUMPHOUSE_ML_MONITOR_PSI", "0.3"),
        ("PUMPHOUSE_ML_MONITOR_MODELS", "ml.y, ml.x"),
    ];
    let ml = load("", &env, &[]).unwrap().ml;
    assert_eq!(ml.monitor.psi, 0.3);
    assert_eq!(ml.retrain[0].every.as_secs(), 3600);
    let watched: Vec<_> = ml.watched().iter().map(ToString::to_string).collect();
    assert_eq!(watched, ["ml.x", "ml.y"]);
    let file = "[[ml.retrain]]\nmodel = \"ml.x\"\nspec = \"x.toml\"\n";
    let kept = load(file, &[("PUMPHOUSE_AUTHOR", "ann")], &[]).unwrap();
    assert_eq!(kept.ml.retrain[0].min_labels, 100);
    for wrong in [
        format!("{file}{file}"),
        file.replace("spec = \"x.toml\"", ""),
        format!("{file}on = [\"fire\"]"),
        "[ml.monitor]\ndrift = -1.0".to_owned(),
    ] {
        assert!(
            load(&wrong, &[], &[]).is_err_and(|e| e.is_user_error()),
            "{wrong}"
        );
    }
}

#[test]
fn streams_of_the_file_survive_the_environment() {
    let file = "[[stream]]\nname = \"rigs\"\ntopic = \"rigs/{rig}\"\ntable = \"rigs.telemetry\"";
    let settings = load(file, &[("PUMPHOUSE_AUTHOR", "ann")], &[lake_flag("x")]).unwrap();
    assert_eq!(settings.streams[0].name, "rigs");
    assert_eq!(settings.author(), "ann");
}

#[test]
fn a_wrong_value_names_where_it_stands() {
    let broken = load("[lake]\nurl = \"x\"\n  url2 = 1\n", &[], &[]).unwrap_err();
    assert!(broken.is_user_error());
    assert!(
        broken
            .message()
            .contains("pumphouse.toml:3:3: unknown field `url2`"),
        "{broken}"
    );
    let broken = load("[lake\nurl = 1", &[], &[]).unwrap_err();
    assert!(broken.message().contains("pumphouse.toml:1:"), "{broken}");
    let broken = load("[ingest]\nflush_interval = \"soon\"", &[], &[]).unwrap_err();
    assert!(
        broken
            .message()
            .contains("pumphouse.toml:2:18: \"soon\" is not a duration"),
        "{broken}"
    );
    let broken = load("", &[("PUMPHOUSE_MQTT_RECEIVE_MAXIMUM", "many")], &[]).unwrap_err();
    assert!(
        broken
            .message()
            .starts_with("PUMPHOUSE_MQTT_RECEIVE_MAXIMUM: "),
        "{broken}"
    );
    let broken = load("", &[("PUMPHOUSE_ROLES", "plumber")], &[]).unwrap_err();
    assert!(broken.message().contains("plumber"), "{broken}");
    assert!(load("roles = []", &[], &[]).is_err());
    assert!(load("[query]\nmemory_limit = 0", &[], &[]).is_err());
    let no_keys = "[lake]\nurl = \"s3://a/b\"\n[iceberg]\ncredentials = \"own\"";
    let broken = load(no_keys, &[], &[]).unwrap_err();
    assert!(broken.message().contains("iceberg.credentials"), "{broken}");
}

#[test]
fn models_that_score_come_from_the_file_or_the_environment() {
    let file = "[ml.serve]\nbatch_wait = \"5ms\"\n[[ml.score]]\nmodel = \"ml.wear\"\n\
                lateness = \"5m\"\nentity = [\"pump\"]";
    let settings = load(file, &[("PUMPHOUSE_AUTHOR", "ann")], &[]).unwrap();
    assert_eq!(settings.ml.serve.batch().wait.as_millis(), 5);
    let options = settings.ml.score[0].options();
    assert_eq!(options.model.to_string(), "ml.wear");
    assert_eq!(
        (options.lateness.as_secs(), options.every.as_millis()),
        (300, 500)
    );
    assert_eq!(
        (options.entity.len(), options.sql, options.shadow),
        (1, None, None)
    );
    let given = r#"[{"model": "ml.a", "every": "1s"}, {"model": "ml.b"}]"#;
    let settings = load(file, &[("PUMPHOUSE_ML_SCORE", given)], &[]).unwrap();
    assert_eq!(settings.ml.score.len(), 2);
    for wrong in [
        "[ml.serve]\nbatch_rows = 0",
        "[[ml.score]]\nmodel = \"wear\"",
        "[[ml.score]]\nmodel = \"ml.wear\"\nevery = \"0s\"",
        "[[ml.score]]\nmodel = \"ml.wear\"\n[[ml.score]]\nmodel = \"ml.wear\"",
        "[[ml.score]]\nmodel = \"ml.wear\"\nshade = \"x\"",
        "[[ml.score]]\nsql = \"select 1\"",
    ] {
        assert!(
            load(wrong, &[], &[]).unwrap_err().is_user_error(),
            "{wrong}"
        );
    }
}

#[test]
fn misspelt_variables_are_noticed() {
    let names = [
        "PATH",
        "PUMPHOUSE_LAKE_URL",
        "PUMPHOUSE_CONFIG",
        "PUMPHOUSE_LAKE_S3_SECRET",
    ];
    let unknown = unknown_variables(names.map(str::to_owned).into_iter());
    assert_eq!(unknown, ["PUMPHOUSE_LAKE_S3_SECRET"]);
}

#[test]
fn a_named_file_must_be_there() {
    let missing = Settings::load(Some(Path::new("no/such.toml")), |_| None, &[]).unwrap_err();
    assert!(missing.message().contains("no/such.toml"));
}

#[test]
fn secrets_do_not_show() {
    let settings = load(
        "[auth]\ntoken = \"swordfish\"\n[lake.s3]\nsecret_key = \"swordfish\"",
        &[],
        &[],
    )
    .unwrap();
    assert!(!format!("{settings:?}").contains("swordfish"));
    assert!(!format!("{:?}", settings.store_config()).contains("swordfish"));
}

#[test]
fn the_example_holds_every_setting_at_its_default() {
    let text = uncommented_example();
    let settings = load(&text, &[], &[]).unwrap();
    assert_eq!(tree(&settings), tree(&Settings::default()));
    assert_eq!(
        format!("{:?}", settings.streams),
        format!("{:?}", Settings::default().streams)
    );

    let example: toml::Table = text.parse().unwrap();
    for path in setting_paths() {
        let mut here = Some(&toml::Value::Table(example.clone())).cloned();
        for part in path.split('.') {
            here = here.and_then(|value| value.get(part).cloned());
        }
        assert!(here.is_some(), "pumphouse.example.toml lacks {path}");
        assert!(
            path == "stream" || EXAMPLE.contains(&env_name(&path)),
            "no {} in the example",
            env_name(&path)
        );
    }
}

#[test]
fn the_example_changes_nothing_as_it_is() {
    let settings = load(EXAMPLE, &[], &[]).unwrap();
    assert_eq!(tree(&settings), tree(&Settings::default()));
}
