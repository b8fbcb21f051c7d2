//! The trainer as a whole, on generated samples.
use super::*;
use crate::dataset::Class;
use crate::neural::check;
use crate::spec::autoencoder::Maximise;

/// Seeded numbers from -1 to 1.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Rows on a plane in four dimensions; of labelled ones each tenth is off it. 400 to learn from,
/// 100 to validate, 100 to test.
fn data(labelled: bool) -> Dataset {
    let mut noise = Noise(7);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for row in 0..600 {
        let (a, b) = (noise.next(), noise.next());
        let anomalous = labelled && row % 10 == 3;
        let off = if anomalous { 1.5 } else { 0.05 * noise.next() };
        values.extend([a, b, a + b + off, a - b]);
        labels.push(f32::from(u8::from(anomalous)));
    }
    let part = |range: std::ops::Range<usize>| Part {
        labels: if labelled {
            labels[range.clone()].to_vec()
        } else {
            Vec::new()
        },
        ends: range.collect(),
        weights: Vec::new(),
    };
    let classes = match labelled {
        true => vec![Class::Boolean(false), Class::Boolean(true)],
        false => Vec::new(),
    };
    Dataset {
        train: part(0..400),
        validation: part(400..500),
        test: part(500..600),
        classes,
        ..Dataset::of_values(values, 4)
    }
}

fn spec(text: &str) -> AutoencoderSpec {
    let spec: AutoencoderSpec = toml::from_str(text).unwrap();
    spec
}

fn fit(spec: &AutoencoderSpec, data: &Dataset) -> Result<Fitted> {
    Ok(spec
        .fit(data, &mut |_| true)?
        .expect("nobody asked to stop"))
}

/// The model as it is read back.
fn model(fitted: &Fitted, data: &Dataset) -> Autoencoder {
    let spec = settings(&fitted.parameters).unwrap();
    Autoencoder::read(&spec, data.length, data.columns(), &fitted.bytes).unwrap()
}

/// The part of test samples told right.
fn accuracy(fitted: &Fitted, data: &Dataset) -> f64 {
    let samples = data.samples(&data.test.ends);
    let scores = model(fitted, data).predict(&samples).unwrap().values;
    let threshold = fitted.threshold.unwrap();
    let right = scores
        .iter()
        .zip(&data.test.labels)
        .filter(|(score, label)| (**score > threshold) == (**label == 1.0));
    right.count() as f64 / scores.len() as f64
}

const LINEAR: &str = "principal = 2\nhidden = []\n";
const DENSE: &str = "hidden = [8, 2, 8]\nactivation = 'tanh'\nloss = 'mse'\n\
                     schedule = { epochs = 150, learning_rate = 0.01, batch = 100, patience = 0 }\n";

#[test]
fn every_kind_finds_what_is_off_the_plane() {
    let data = data(true);
    for text in [
        format!("{LINEAR}threshold = 'quantile'\nquantile = 1.0\nfactor = 1.2"),
        format!("{LINEAR}threshold = 'validation'\nfeatures = 'max'\nscore = 'mse'"),
        format!("{LINEAR}scaled = true\nthreshold = 'quantile'\nquantile = 1.0\nscore = 'level'"),
        format!("{DENSE}threshold = 'mean+std'\ndeviations = 4"),
        format!("principal = 1\n{DENSE}threshold = 'validation'\nmaximise = 'f1'"),
        "principal = 3\nhidden = []\nscore = 'code'\nthreshold = 'validation'".to_owned(),
    ] {
        let fitted = fit(&spec(&text), &data).unwrap();
        let accuracy = accuracy(&fitted, &data);
        assert!(accuracy >= 0.97, "{text}: {accuracy}");
    }
}

#[test]
fn anomalies_are_not_learned_from() {
    let mut data = data(true);
    let mut wild = self::data(true);
    for (end, label) in wild
        .train
        .ends
        .clone()
        .into_iter()
        .zip(wild.train.labels.clone())
    {
        if label == 1.0 {
            wild.values[end * 4..end * 4 + 4].fill(1e6);
        }
    }
    let text = format!("{LINEAR}threshold = 'mean+std'");
    let tame = fit(&spec(&text), &data).unwrap();
    assert_eq!(tame.bytes, fit(&spec(&text), &wild).unwrap().bytes);
    // Taken for normal, they do count.
    data.train.labels.clear();
    let other = fit(&spec(&text), &data).unwrap();
    assert_ne!(tame.bytes, other.bytes);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_threshold() {
    let data = data(false);
    let short = DENSE.replace("150", "3");
    let with_seed = |seed: u64| {
        let mut spec = spec(&short);
        spec.schedule.seed = seed;
        let fitted = fit(&spec, &data).unwrap();
        (fitted.bytes, fitted.threshold, fitted.rounds)
    };
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1).0, with_seed(2).0);
    assert_eq!(with_seed(1).2, 3);
}

#[test]
fn windows_are_scored_by_feature_and_missing_values_are_no_anomaly() {
    let mut data = data(false);
    data.length = 5;
    for part in [&mut data.train, &mut data.validation, &mut data.test] {
        part.ends.retain(|end| *end >= 4);
    }
    for row in (0..600).step_by(3) {
        data.values[row * 4 + 1] = f32::NAN;
    }
    for text in [
        format!("{LINEAR}score = 'level'\nscaled = true\nfeatures = 'max'"),
        DENSE.replace("150", "5"),
        "principal = 4\nscore = 'code'\nhidden = []".to_owned(),
    ] {
        let fitted = fit(&spec(&text), &data).unwrap();
        assert!(fitted.threshold.unwrap().is_finite(), "{text}");
        let model = model(&fitted, &data);
        let scores = model.predict(&data.samples(&data.test.ends)).unwrap();
        assert_eq!(scores.outputs, 1);
        assert_eq!(scores.values.len(), data.test.len());
        assert!(scores.values.iter().all(|s| s.is_finite()), "{text}");
        let unknown = model.predict(&[f32::NAN; 20]).unwrap().values[0];
        assert!(unknown <= fitted.threshold.unwrap(), "{text}: {unknown}");
        let wild = model.predict(&[f32::MAX; 20]).unwrap().values[0];
        assert!(wild > fitted.threshold.unwrap(), "{text}: {wild}");
        assert!(model.predict(&[]).unwrap().values.is_empty());
    }
}

#[test]
fn constant_features_do_no_harm() {
    let mut data = data(true);
    (0..600).for_each(|row| data.values[row * 4 + 3] = 2.5);
    for text in [
        format!("{LINEAR}scaled = true\nfeatures = 'max'\nthreshold = 'validation'"),
        "principal = 4\nhidden = []\nscore = 'code'\nthreshold = 'validation'".to_owned(),
    ] {
        let fitted = fit(&spec(&text), &data).unwrap();
        let accuracy = accuracy(&fitted, &data);
        assert!(accuracy >= 0.95, "{text}: {accuracy}");
    }
}

#[test]
fn too_little_that_is_normal_is_an_error() {
    let mut few = data(true);
    few.train.ends.truncate(10);
    few.train.labels.truncate(10);
    let error = fit(&spec(LINEAR), &few).unwrap_err();
    assert!(error.message().contains("9 normal samples"), "{error}");
    let mut none = data(true);
    none.train.labels.fill(1.0);
    let error = fit(&spec(LINEAR), &none).unwrap_err();
    assert!(error.message().contains("0 normal samples"), "{error}");
}

#[test]
fn a_validation_part_of_one_kind_chooses_no_threshold() {
    let mut data = data(true);
    data.validation.labels.fill(0.0);
    let error = fit(&spec(&format!("{LINEAR}threshold = 'validation'")), &data).unwrap_err();
    assert!(error.message().contains("100 normal and 0"), "{error}");
}

#[test]
fn every_trained_parameter_gets_a_gradient_that_is_a_slope() {
    let data = data(false);
    for text in [
        "hidden = [6, 3, 6]\nactivation = 'elu'\nend = 'sigmoid'\nloss = 'mse'",
        "principal = 1\nhidden = [6, 3, 6]\nactivation = 'tanh'\ninitial = 'keras'\nloss = 'mse'",
        "hidden = [6, 3, 6]\nactivation = 'linear'\nloss = 'mae'",
    ] {
        let spec = spec(text);
        let mut params = Params::seeded(1, &candle_core::Device::Cpu);
        let model = spec
            .untrained(&data, &data.train.ends, &mut params)
            .unwrap();
        let problem = Reproduce {
            model: &model,
            params: &params,
            data: &data,
            loss: spec.loss,
            train: &data.train.ends,
            validation: &[],
        };
        let batch: Vec<usize> = (0..32).collect();
        assert_eq!(
            check::without_gradient(&problem, &batch),
            Vec::<String>::new(),
            "{text}"
        );
        if spec.loss == crate::spec::autoencoder::Loss::Mse {
            let worst = check::worst_slope(&problem, &batch);
            assert!(worst < 0.01, "{text}: {worst}");
        }
    }
}

#[test]
fn training_stops_when_nobody_listens() {
    assert!(
        spec(DENSE)
            .fit(&data(false), &mut |_| false)
            .unwrap()
            .is_none()
    );
    assert!(
        spec(LINEAR)
            .fit(&data(false), &mut |_| false)
            .unwrap()
            .is_none()
    );
}

#[test]
fn settings_are_read_back_from_the_manifest_and_other_bytes_are_corrupt() {
    let mut spec = spec(&format!("{DENSE}maximise = 'f1'"));
    let read = settings(&parameters(&spec).unwrap()).unwrap();
    assert_eq!(read.maximise, Maximise::F1);
    spec.schedule = read.schedule.clone();
    assert_eq!(read, spec);
    let kind = |result: Result<Autoencoder>| result.err().map(|e| e.kind());
    let corrupt = Some(catalog::ErrorKind::Corrupt);
    assert_eq!(kind(Autoencoder::read(&spec, 1, 4, b"nothing")), corrupt);
    let fitted = fit(&self::spec(LINEAR), &data(false)).unwrap();
    assert_eq!(
        kind(Autoencoder::read(&self::spec(LINEAR), 1, 5, &fitted.bytes)),
        corrupt
    );
}
