//! The trainer end to end, on small series.
use candle_core::Device;
use catalog::ErrorKind;
use safetensors::SafeTensors;
use tempfile::NamedTempFile;

use super::*;
use crate::dataset::Part;
use crate::trainers::{Fitted, Learner};

/// Two waves of different size and length with a little noise, and a column that is no target;
/// windows of 24 rows, forecasts of 6.
fn data() -> Dataset {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut values = Vec::new();
    for row in 0..700 {
        let turn = row as f32 * std::f32::consts::TAU;
        values.push((turn / 12.0).sin() + 0.05 * noise());
        values.push(noise());
        values.push(3.0 * (turn / 8.0).cos() + 20.0 + 0.1 * noise());
    }
    let part = |ends: std::ops::Range<usize>| Part {
        ends: ends.collect(),
        ..Part::default()
    };
    Dataset {
        length: 24,
        horizon: 6,
        targets: vec![0, 2],
        train: part(23..400),
        validation: part(400..500),
        test: part(500..690),
        ..Dataset::of_values(values, 3)
    }
}

const SMALL: &str = r#"
    patch = 4
    d_model = 16
    levels = 2
    layers = 1
    decoder_d_model = 8
    decoder_layers = 1
    dropout = 0.0
    head_dropout = 0.0
    schedule = { epochs = 12, batch = 32, learning_rate = 0.01 }
"#;

fn spec(change: &str) -> TinyTimeMixerSpec {
    toml::from_str(&format!("{change}\n{SMALL}")).unwrap()
}

fn fit(spec: &TinyTimeMixerSpec, data: &Dataset) -> Result<Fitted> {
    let fitted = spec.fit(data, &mut |_| true)?;
    Ok(fitted.expect("nobody asked to stop"))
}

fn forecaster(fitted: &Fitted, data: &Dataset) -> Result<Forecaster> {
    let spec = of_parameters(&fitted.parameters)?;
    let (channels, io) = of_dataset(&spec, data);
    Forecaster::read(&fitted.bytes, &spec, channels, io)
}

/// The mean squared error on the test part, over that of each target's last value.
fn over_persistence(fitted: &Fitted, data: &Dataset) -> f32 {
    let forecaster = forecaster(fitted, data).unwrap();
    let answer = forecaster.predict(&data.samples(&data.test.ends)).unwrap();
    assert_eq!(answer.outputs, 12);
    let (mut ours, mut last) = (0.0, 0.0);
    for (end, forecast) in data.test.ends.iter().zip(answer.values.chunks_exact(12)) {
        let now = &data.window(*end)[23 * 3..];
        for (row, forecast) in data
            .future(*end)
            .chunks_exact(3)
            .zip(forecast.chunks_exact(2))
        {
            for (target, forecast) in data.targets.iter().zip(forecast) {
                ours += (row[*target] - forecast).powi(2);
                last += (row[*target] - now[*target]).powi(2);
            }
        }
    }
    ours / last
}

fn names(bytes: &[u8]) -> Vec<String> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.names().into_iter().map(String::from).collect()
}

#[test]
fn waves_are_learned_and_the_same_bytes_come_each_time() {
    let data = data();
    let mut rounds = Vec::new();
    let fitted = spec("").fit(&data, &mut |progress| {
        if progress.share == 1.0 {
            rounds.push(progress);
        }
        true
    });
    let fitted = fitted.unwrap().unwrap();
    assert!(over_persistence(&fitted, &data) < 0.1);
    assert!(rounds.last().unwrap().train < 0.3 * rounds[0].train);
    assert_eq!(rounds.last().unwrap().rounds, 12);
    assert_eq!(fitted.parameters["d_model"], "16");
    assert_eq!(fitted.parameters["schedule.batch"], "32");
    let again = fit(&spec(""), &data).unwrap();
    assert_eq!(again.bytes, fitted.bytes);
    let mut other = spec("");
    other.schedule.seed = 1;
    assert_ne!(fit(&other, &data).unwrap().bytes, fitted.bytes);
}

#[test]
fn channels_are_mixed_dropped_and_weighed_otherwise() {
    for change in [
        "mix_channel = true",
        "decoder_mix_channel = true\nloss = 'huber'",
        "loss = 'mae'",
    ] {
        let fitted = fit(&spec(change), &data()).unwrap();
        let error = over_persistence(&fitted, &data());
        assert!(error < 0.2, "{change}: {error}");
    }
}

#[test]
fn the_linear_path_forecasts_waves_before_training_begins() {
    let mut spec = spec("linear = true\nmembers = 2");
    spec.schedule.epochs = 1;
    spec.schedule.learning_rate = 1e-9;
    let data = data();
    let mut rounds = Vec::new();
    let fitted = spec.fit(&data, &mut |progress| {
        rounds.push((progress.round, progress.rounds));
        true
    });
    let fitted = fitted.unwrap().unwrap();
    // A long epoch is told of more than once.
    rounds.dedup();
    assert_eq!(rounds, [(1, 2), (2, 2)]);
    assert!(over_persistence(&fitted, &data) < 0.02);
    let names = names(&fitted.bytes);
    assert!(names.contains(&"linear.weight".to_owned()));
    let of = |prefix: &str| names.iter().filter(|n| n.starts_with(prefix)).count();
    assert!(of("members.0.") > 10 && of("members.0.") == of("members.1."));
    assert_eq!(names.len(), 2 * of("members.0.") + 1);

    // Two members start from different seeds, and give their mean.
    spec.schedule.epochs = 3;
    spec.schedule.learning_rate = 0.01;
    let fitted = fit(&spec, &data).unwrap();
    assert!(over_persistence(&fitted, &data) < 0.02);
    let both = forecaster(&fitted, &data).unwrap();
    let sample = data.window(600);
    let one = |member: usize| {
        let alone = Forecaster {
            networks: vec![both.networks[member].clone()],
            line: both.line.clone(),
            channels: both.channels.clone(),
            io: both.io.clone(),
        };
        alone.predict(sample).unwrap().values
    };
    let (first, second) = (one(0), one(1));
    assert_ne!(first, second);
    let mean = first.iter().zip(&second).map(|(a, b)| (a + b) / 2.0);
    for (mean, answer) in mean.zip(both.predict(sample).unwrap().values) {
        assert!((mean - answer).abs() < 1e-5);
    }
}

fn saved(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn tuned(spec: &TinyTimeMixerSpec, bytes: &[u8]) -> Result<Fitted> {
    let file = saved(bytes);
    let spec = TinyTimeMixerSpec {
        pretrained: Some(file.path().display().to_string()),
        ..spec.clone()
    };
    fit(&spec, &data())
}

#[test]
fn a_frozen_encoder_stays_as_it_was_read() {
    let mut short = spec("");
    short.schedule.epochs = 1;
    let first = fit(&short, &data()).unwrap();
    let before = over_persistence(&first, &data());
    short.schedule.epochs = 6;
    short.freeze = crate::spec::Freeze::Encoder;
    let second = tuned(&short, &first.bytes).unwrap();
    assert!(over_persistence(&second, &data()) < before);
    assert_eq!(second.parameters["pretrained.sha256"].len(), 64);
    let (a, b) = (
        file::open(&first.bytes).unwrap(),
        file::open(&second.bytes).unwrap(),
    );
    for (name, tensor) in a.tensors() {
        let same = tensor.data() == b.tensor(&name).unwrap().data();
        assert_eq!(same, name.starts_with("backbone."), "{name}");
    }
}

#[test]
fn errors_name_the_tensor_that_does_not_fit() {
    let mut short = spec("");
    short.schedule.epochs = 1;
    let good = fit(&short, &data()).unwrap().bytes;
    let edited = |edit: fn(&mut Vec<(String, Tensor)>)| {
        let tensors = candle_core::safetensors::load_buffer(&good, &Device::Cpu).unwrap();
        let mut tensors = tensors.into_iter().collect();
        edit(&mut tensors);
        safetensors::serialize(tensors, None).unwrap()
    };
    let error = |bytes: &[u8]| tuned(&short, bytes).unwrap_err();

    const HEAD: &str = "head.base_forecast_block.weight";
    let lacking = error(&edited(|tensors| tensors.retain(|(name, _)| name != HEAD)));
    assert!(
        lacking
            .message()
            .contains(&format!("lack the tensor '{HEAD}'")),
        "{lacking}"
    );
    assert_eq!(lacking.kind(), ErrorKind::InvalidInput);
    let more = error(&edited(|tensors| {
        tensors.push(("decoder.more".into(), tensors[0].1.clone()));
    }));
    assert!(more.message().contains("'decoder.more'"), "{more}");
    let wide = fit(
        &TinyTimeMixerSpec {
            d_model: 32,
            ..short.clone()
        },
        &data(),
    )
    .unwrap();
    let wide = error(&wide.bytes);
    assert!(
        wide.message().contains("[16]") && wide.message().contains("[8]"),
        "{wide}"
    );
    assert!(wide.hint().unwrap().contains("512-96"), "{wide}");
    assert_eq!(error(b"no tensors").kind(), ErrorKind::Corrupt);
    let nowhere = TinyTimeMixerSpec {
        pretrained: Some("/no/such/file".into()),
        ..short.clone()
    };
    let nowhere = fit(&nowhere, &data()).unwrap_err();
    assert!(nowhere.message().contains("/no/such/file"), "{nowhere}");

    // A stored model whose bytes are another's.
    let (channels, io) = of_dataset(&short, &data());
    let wrong = TinyTimeMixerSpec {
        members: 2,
        ..short.clone()
    };
    let wrong = Forecaster::read(&good, &wrong, channels, io).err().unwrap();
    assert_eq!(wrong.kind(), ErrorKind::Corrupt);
}

#[test]
fn missing_values_are_neither_learned_nor_answered() {
    let mut data = data();
    for value in data.values.iter_mut().step_by(7) {
        *value = f32::NAN;
    }
    for change in ["", "linear = true", "mix_channel = true"] {
        let fitted = fit(&spec(change), &data).unwrap();
        let forecaster = forecaster(&fitted, &data).unwrap();
        let answer = forecaster.predict(&data.samples(&data.test.ends)).unwrap();
        assert!(answer.values.iter().all(|v| v.is_finite()), "{change}");
        let nothing = forecaster.predict(&[f32::NAN; 72]).unwrap();
        assert!(nothing.values.iter().all(|v| v.is_finite()), "{change}");
        assert!(forecaster.predict(&[0.0; 71]).is_err());
        assert!(forecaster.predict(&[]).unwrap().values.is_empty());
    }
}

#[test]
fn training_stops_when_nobody_listens() {
    let stopped = spec("members = 3").fit(&data(), &mut |progress| progress.round < 14);
    assert!(stopped.unwrap().is_none());
}
