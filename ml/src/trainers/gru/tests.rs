use candle_core::Device;

use super::fitting::Fitting;
use super::*;
use crate::dataset::{Class, Part};
use crate::neural::check;

const LENGTH: usize = 6;

/// Numbers in [-1, 1) from a fixed sequence.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// 500 rows of two columns of noise; what is learned is a rule of a window's first column.
fn data(rule: impl Fn(f32) -> f32, classes: usize) -> Dataset {
    let values = noise(1000);
    let part = |range: std::ops::Range<usize>| {
        let mean = |end: usize| {
            let window = (end + 1 - LENGTH..=end).map(|row| values[row * 2]);
            window.sum::<f32>() / LENGTH as f32
        };
        Part {
            labels: range.clone().map(|end| rule(mean(end))).collect(),
            ends: range.collect(),
            weights: Vec::new(),
        }
    };
    Dataset {
        length: LENGTH,
        train: part(LENGTH..350),
        validation: part(350..420),
        test: part(420..500),
        classes: (0..classes as i64).map(Class::Integer).collect(),
        ..Dataset::of_values(values.clone(), 2)
    }
}

fn spec(task: &str, more: &str) -> GruSpec {
    let schedule = "[schedule]\nepochs = 40\nbatch = 32\nlearning_rate = 0.01";
    toml::from_str(&format!("task = '{task}'\nhidden = 8\n{more}\n{schedule}")).unwrap()
}

fn train(spec: &GruSpec, data: &Dataset) -> Fitted {
    let fitted = spec.fit(data, &mut |_| true).unwrap();
    fitted.expect("nobody asked to stop")
}

fn shape(spec: &GruSpec, data: &Dataset) -> Shape {
    Shape {
        task: spec.task,
        length: data.length,
        columns: data.columns(),
        flags: false,
        hidden: spec.hidden,
        layers: spec.layers,
        outputs: outputs(
            spec.task,
            data.classes.len(),
            data.targets.len(),
            data.horizon,
        ),
    }
}

fn answer(spec: &GruSpec, data: &Dataset, fitted: &Fitted) -> Predictions {
    let model = Recurrent::read(shape(spec, data), spec.members, &fitted.bytes).unwrap();
    model.predict(&data.samples(&data.test.ends)).unwrap()
}

fn root_mean_square(truth: &[f32], found: &[f32]) -> f32 {
    let squares = truth.iter().zip(found).map(|(t, f)| (t - f).powi(2));
    (squares.sum::<f32>() / truth.len() as f32).sqrt()
}

#[test]
fn two_classes_are_told_apart() {
    let data = data(|mean| f32::from(u8::from(mean > 0.0)), 2);
    let spec = spec("binary", "");
    let answer = answer(&spec, &data, &train(&spec, &data));
    assert_eq!((answer.outputs, answer.values.len()), (1, 80));
    let right = data.test.labels.iter().zip(&answer.values);
    let right = right.filter(|(y, p)| (**y == 1.0) == (**p > 0.5)).count();
    assert!(right >= 72, "{right} of 80");
    assert!(answer.values.iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn several_classes_answer_one_probability_each() {
    let data = data(|mean| (mean * 6.0 + 1.5).clamp(0.0, 2.0).floor(), 3);
    let spec = spec("multiclass", "layers = 2\ndropout = 0.1");
    let answer = answer(&spec, &data, &train(&spec, &data));
    assert_eq!((answer.outputs, answer.values.len()), (3, 240));
    let mut right = 0;
    for (row, label) in answer.values.chunks_exact(3).zip(&data.test.labels) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        right += usize::from(row.iter().all(|p| *p <= row[*label as usize]));
    }
    assert!(right >= 60, "{right} of 80");
}

#[test]
fn numbers_are_predicted_in_their_own_units() {
    let data = data(|mean| 5000.0 + 300.0 * mean, 0);
    let spec = spec("regression", "members = 2");
    let fitted = train(&spec, &data);
    let answer = answer(&spec, &data, &fitted);
    assert_eq!(answer.outputs, 1);
    let error = root_mean_square(&data.test.labels, &answer.values);
    // The labels' own deviation is about 70.
    assert!(error < 20.0, "{error}");
    assert_eq!(fitted.parameters["schedule.epochs"], "40");
    assert_eq!(fitted.parameters["task"], "regression");
    assert!(fitted.rounds >= 1 && fitted.rounds <= 40);
}

#[test]
fn a_label_that_never_changes_is_predicted() {
    let data = data(|_| 7.5, 0);
    let spec = spec("regression", "");
    let answer = answer(&spec, &data, &train(&spec, &data));
    assert!(answer.values.iter().all(|v| (v - 7.5).abs() < 0.5));
}

#[test]
fn a_series_is_continued() {
    let wave = |i: usize| [(i as f32 / 5.0).sin(), (i as f32 / 5.0).cos()];
    let values: Vec<f32> = (0..400).flat_map(wave).collect();
    let part = |range: std::ops::Range<usize>| Part {
        ends: range.collect(),
        ..Part::default()
    };
    let mut data = Dataset {
        length: LENGTH,
        horizon: 4,
        targets: vec![1],
        train: part(LENGTH..250),
        validation: part(250..300),
        test: part(300..390),
        ..Dataset::of_values(values, 2)
    };
    // A hole in what is to be foreseen teaches nothing, and breaks nothing.
    data.values[201] = f32::NAN;
    let spec = spec("forecast", "");
    let answer = answer(&spec, &data, &train(&spec, &data));
    assert_eq!((answer.outputs, answer.values.len()), (4, 360));
    let truth = data.test.ends.iter();
    let truth = truth.flat_map(|end| (1..=4).map(move |step| wave(end + step)[1]));
    let error = root_mean_square(&truth.collect::<Vec<_>>(), &answer.values);
    assert!(error < 0.1, "{error}");
}

#[test]
fn missing_numbers_are_told_by_a_flag() {
    // What counts is only whether the last row's second number is there.
    let mut data = data(|_| 0.0, 2);
    for (row, gone) in noise(500).iter().enumerate() {
        if *gone > 0.3 {
            data.values[row * 2 + 1] = if row % 2 == 0 {
                f32::NAN
            } else {
                f32::INFINITY
            };
        }
    }
    let values = data.values.clone();
    let label = |end: &usize| f32::from(u8::from(values[end * 2 + 1].is_finite()));
    for part in [&mut data.train, &mut data.validation, &mut data.test] {
        part.labels = part.ends.iter().map(label).collect();
    }
    let spec = spec("binary", "");
    let answer = answer(&spec, &data, &train(&spec, &data));
    let right = data.test.labels.iter().zip(&answer.values);
    let right = right.filter(|(y, p)| (**y == 1.0) == (**p > 0.5)).count();
    assert!(right >= 78, "{right} of 80");
}

#[test]
fn numbers_missing_only_later_do_not_spread() {
    let data = data(|mean| mean, 0);
    let spec = spec("regression", "");
    let fitted = train(&spec, &data);
    let model = Recurrent::read(shape(&spec, &data), 1, &fitted.bytes).unwrap();
    let holes = vec![f32::NAN; LENGTH * 2];
    assert!(model.predict(&holes).unwrap().values[0].is_finite());
}

#[test]
fn samples_count_by_their_weights() {
    let mut data = data(|_| 1.0, 0);
    for (i, label) in data.train.labels.iter_mut().enumerate() {
        *label = if i % 2 == 0 { 1.0 } else { 3.0 };
    }
    let weight = |i: usize| if i.is_multiple_of(2) { 900.0 } else { 100.0 };
    data.train.weights = (0..data.train.len()).map(weight).collect();
    data.validation = Part::default();
    let spec = spec("regression", "");
    let answer = answer(&spec, &data, &train(&spec, &data)).values;
    let mean = answer.iter().sum::<f32>() / answer.len() as f32;
    assert!((mean - 1.2).abs() < 0.15, "{mean}");
}

#[test]
fn the_seed_decides_every_bit_and_names_are_pytorchs() {
    let data = data(|mean| mean, 0);
    let two = spec("regression", "layers = 2\ndropout = 0.3");
    let bytes = |spec: &GruSpec| train(spec, &data).bytes;
    let model = bytes(&two);
    assert_eq!(model, bytes(&two));
    let mut other = two.clone();
    other.schedule.seed = 1;
    assert_ne!(model, bytes(&other));
    let names = |bytes: &[u8]| {
        let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    let expected = [
        "gru.bias_hh_l0",
        "gru.bias_hh_l1",
        "gru.bias_ih_l0",
        "gru.bias_ih_l1",
        "gru.weight_hh_l0",
        "gru.weight_hh_l1",
        "gru.weight_ih_l0",
        "gru.weight_ih_l1",
        "head.bias",
        "head.weight",
    ];
    assert_eq!(names(&model), expected);
    let members = bytes(&spec("regression", "members = 2"));
    assert_eq!(names(&members)[0], "members.0.gru.bias_hh_l0");
    assert_eq!(names(&members).len(), 12);
}

#[test]
fn every_parameter_gets_a_gradient_that_is_a_slope() {
    for (task, classes) in [("binary", 2), ("multiclass", 3), ("regression", 0)] {
        let data = data(|mean| (mean * 9.0 + 1.5).clamp(0.0, 1.0).round(), classes);
        let spec = spec(task, "layers = 2\ndropout = 0.2");
        let fitting = Fitting::new(&spec, &data, shape(&spec, &data)).unwrap();
        let fit = fitting.start("", 1, &Device::Cpu).unwrap();
        let batch: Vec<usize> = (0..40).collect();
        assert!(check::without_gradient(&fit, &batch).is_empty());
        let worst = check::worst_slope(&fit, &batch);
        assert!(worst < 0.01, "{task}: {worst}");
    }
}

#[test]
fn training_ends_when_watch_says_so_in_any_member() {
    let data = data(|mean| mean, 0);
    let spec = spec("regression", "members = 3");
    let mut rounds = Vec::new();
    let stopped = spec.fit(&data, &mut |p| {
        assert_eq!(p.rounds, 120);
        rounds.push(p.round);
        p.round <= 40
    });
    assert!(stopped.unwrap().is_none());
    // The first member may have ended early; the second one starts at its own first round.
    assert_eq!(rounds.last(), Some(&41));
    assert!(rounds.is_sorted());
}

#[test]
fn what_no_network_can_be_made_of_is_named() {
    for (more, field) in [
        ("layers = 0", "gru.layers"),
        ("members = 0", "gru.members"),
        ("dropout = 1.0", "gru.dropout"),
        ("dropout = nan", "gru.dropout"),
        ("layers = 1000000", "gru.layers"),
    ] {
        let error = spec("regression", more).check().unwrap_err();
        assert!(error.message().contains(field), "{error}");
    }
    let data = data(|mean| mean, 0);
    let none = spec("forecast", "").fit(&data, &mut |_| true).unwrap_err();
    assert!(none.message().contains("nothing to predict"), "{none}");
    assert!(spec("anomaly", "").check().is_err());
}

#[test]
fn bytes_of_another_network_are_corrupt() {
    let data = data(|mean| mean, 0);
    let spec = spec("regression", "");
    let fitted = train(&spec, &data);
    let shape = shape(&spec, &data);
    let wider = Shape { hidden: 9, ..shape };
    for (shape, members, bytes) in [
        (wider, 1, &fitted.bytes[..]),
        (shape, 2, &fitted.bytes[..]),
        (shape, 1, &fitted.bytes[..fitted.bytes.len() / 2]),
        (shape, 1, &b"nothing"[..]),
    ] {
        let error = Recurrent::read(shape, members, bytes).err().unwrap();
        assert_eq!(error.kind(), catalog::ErrorKind::Corrupt, "{error}");
    }
}
