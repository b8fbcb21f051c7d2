//! The trainer `xgboost`: boosted trees, random forests and linear models.
use catalog::{Error, Result};

use super::{Fitted, Learner, Predictions, Predictor};
use crate::dataset::{Dataset, Part};
use crate::manifest::Manifest;
use crate::spec::XgboostSpec;
use crate::train::TrainProgress;
use crate::xgboost::{self, Samples, Trained};

impl Learner for XgboostSpec {
    fn fit(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        let library = xgboost::library()?;
        if self.early_stopping > 0 && data.validation.len() == 0 {
            return Err(Error::invalid(
                "xgboost.early_stopping is judged by the validation part, and there is none",
            )
            .with_hint("give dataset.validation_fraction a value, such as 0.2"));
        }
        // Without a validation part the rounds are shown on the test; nothing is fitted to it.
        let judged = match data.validation.len() {
            0 => &data.test,
            _ => &data.validation,
        };
        let (train_rows, judged_rows) =
            (data.samples(&data.train.ends), data.samples(&judged.ends));
        let train = samples(data, &data.train, &train_rows);
        let judged = (judged.len() > 0).then(|| samples(data, judged, &judged_rows));
        let classes = data.classes.len();
        let boosted = xgboost::boost(library, self, classes, &train, judged.as_ref(), watch)?;
        let Some(boosted) = boosted else {
            return Ok(None);
        };
        let importance = match self.parameters.get("booster").map(String::as_str) {
            // A linear model splits nothing.
            Some("gblinear") => Vec::new(),
            _ => by_feature(&boosted.booster.gains(train.columns)?, data.columns()),
        };
        Ok(Some(Fitted {
            bytes: boosted.booster.to_ubjson()?,
            library: library.version(),
            rounds: boosted.rounds,
            parameters: self.told(),
            importance,
            threshold: None,
        }))
    }

    fn stops_early(&self) -> bool {
        self.early_stopping > 0
    }
}

impl XgboostSpec {
    /// Every parameter by name.
    fn told(&self) -> std::collections::BTreeMap<String, String> {
        let mut told = self.parameters.clone();
        if self.early_stopping > 0 {
            told.insert("early_stopping".into(), self.early_stopping.to_string());
        }
        told
    }
}

fn samples<'a>(data: &Dataset, part: &'a Part, values: &'a [f32]) -> Samples<'a> {
    Samples {
        values,
        columns: data.length * data.columns(),
        labels: &part.labels,
        weights: &part.weights,
    }
}

/// What each feature gains over all rows of a window.
fn by_feature(gains: &[f64], features: usize) -> Vec<f64> {
    let mut sums = vec![0.0; features];
    for row in gains.chunks(features) {
        for (sum, gain) in sums.iter_mut().zip(row) {
            *sum += gain;
        }
    }
    sums
}

/// A trained model, and whether its outputs are quantiles of one number.
struct Answering {
    model: Trained,
    quantiles: bool,
}

pub(super) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    let signature = &manifest.signature;
    let columns = signature.length * signature.features.len();
    Ok(Box::new(Answering {
        model: Trained::new(xgboost::library()?, bytes, columns)?,
        quantiles: manifest.parameters.contains_key("quantile_alpha"),
    }))
}

impl Predictor for Answering {
    fn predict(&self, samples: &[f32]) -> Result<Predictions> {
        let mut answer = self.model.predict(samples)?;
        if self.quantiles && answer.outputs > 1 {
            // Each quantile has trees of its own, so they may cross.
            for row in answer.values.chunks_mut(answer.outputs) {
                row.sort_by(f32::total_cmp);
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Class;
    use crate::xgboost::{Booster, Library};

    /// Rows with label 1 where the first value exceeds the second, some missing: 600 to learn
    /// from, the last 150 of them to stop by, 200 to test on.
    fn data() -> Dataset {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for row in 0..800 {
            let (a, b) = (next(), next());
            values.extend([a, if row % 7 == 0 { f32::NAN } else { b }]);
            labels.push(f32::from(u8::from(a > b)));
        }
        let part = |range: std::ops::Range<usize>| Part {
            labels: labels[range.clone()].to_vec(),
            ends: range.collect(),
            weights: Vec::new(),
        };
        Dataset {
            train: part(0..450),
            validation: part(450..600),
            test: part(600..800),
            classes: vec![Class::Boolean(false), Class::Boolean(true)],
            ..Dataset::of_values(values, 2)
        }
    }

    fn spec(text: &str) -> XgboostSpec {
        toml::from_str(text).unwrap()
    }

    fn train(spec: &XgboostSpec) -> Result<Fitted> {
        let fitted = spec.fit(&data(), &mut |_| true)?;
        Ok(fitted.expect("nobody asked to stop"))
    }

    fn library() -> &'static Library {
        xgboost::library().expect("run `make xgboost` first")
    }

    fn answer(fitted: &Fitted) -> Predictions {
        let model = Answering {
            model: Trained::new(library(), &fitted.bytes, 2).unwrap(),
            quantiles: fitted.parameters.contains_key("quantile_alpha"),
        };
        let data = data();
        model.predict(&data.samples(&data.test.ends)).unwrap()
    }

    const BINARY: &str = "objective = 'binary:logistic'\nrounds = 20\nsubsample = 0.8\n";

    #[test]
    fn a_trained_model_is_the_same_each_time() {
        let fitted = train(&spec(BINARY)).unwrap();
        assert_eq!(fitted.bytes, train(&spec(BINARY)).unwrap().bytes);
        let answer = answer(&fitted);
        let right = data().test.labels.into_iter().zip(&answer.values);
        assert!(right.filter(|(y, p)| (*y == 1.0) == (**p >= 0.5)).count() > 170);
    }

    #[test]
    fn several_classes_answer_one_probability_each() {
        let fitted = train(&spec("objective = 'multi:softprob'\nrounds = 3")).unwrap();
        let answer = answer(&fitted);
        assert_eq!((answer.outputs, answer.values.len()), (2, 400));
        for row in answer.values.chunks_exact(2) {
            assert!((row[0] + row[1] - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_mistyped_parameter_is_an_error_that_names_it() {
        let error = train(&spec(&format!("{BINARY}max_deph = 3")))
            .err()
            .unwrap();
        assert!(error.message().contains("\"max_deph\""), "{error}");
        // The next run on this thread starts afresh.
        assert!(train(&spec(BINARY)).is_ok());
    }

    #[test]
    fn a_wrong_value_is_passed_on_in_xgboosts_words() {
        let error = train(&spec(&format!("{BINARY}max_depth = 'deep'")))
            .err()
            .unwrap();
        assert!(error.message().contains("max_depth"), "{error}");
        assert!(!error.message().contains("Stack trace"), "{error}");
        assert!(!error.message().contains(".cc:"), "{error}");
        let error = train(&spec(&format!("{BINARY}booster = 'gbforest'")))
            .err()
            .unwrap();
        assert!(error.message().contains("gbforest"), "{error}");
    }

    #[test]
    fn training_stops_when_nobody_listens() {
        let mut rounds = 0;
        let stopped = spec(BINARY).fit(&data(), &mut |_| {
            rounds += 1;
            rounds < 3
        });
        assert!(stopped.unwrap().is_none());
        assert_eq!(rounds, 3);
    }

    #[test]
    fn bytes_that_are_no_model_are_corrupt() {
        let error = Booster::from_bytes(library(), b"{not a model").unwrap_err();
        assert_eq!(error.kind(), catalog::ErrorKind::Corrupt);
    }

    #[test]
    fn a_model_that_stops_early_is_the_one_of_its_best_round() {
        let text = "objective = 'binary:logistic'\neta = 1.0\nmax_depth = 9\n";
        let early = spec(&format!("{text}rounds = 60\nearly_stopping = 3"));
        let mut losses = Vec::new();
        let fitted = early.fit(&data(), &mut |p| {
            losses.push(p.test);
            true
        });
        let fitted = fitted.unwrap().unwrap();
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(losses[fitted.rounds as usize - 1], best);
        assert_eq!(losses.len(), fitted.rounds as usize + 3, "{losses:?}");
        let plain = train(&spec(&format!("{text}rounds = {}", fitted.rounds))).unwrap();
        assert_eq!(answer(&fitted), answer(&plain));
    }

    #[test]
    fn stopping_early_needs_rows_to_be_judged_by() {
        let early = spec(&format!("{BINARY}early_stopping = 3"));
        let data = Dataset {
            validation: Part::default(),
            ..data()
        };
        let error = early.fit(&data, &mut |_| true).unwrap_err();
        assert!(
            error.hint().unwrap().contains("validation_fraction"),
            "{error}"
        );
        // One class has no area under a curve.
        let mut data = Dataset { ..self::data() };
        data.validation.labels.fill(1.0);
        let early = spec(&format!("{BINARY}early_stopping = 3\neval_metric = 'auc'"));
        let error = early.fit(&data, &mut |_| true).unwrap_err();
        assert!(error.message().contains("auc is no number"), "{error}");
    }

    #[test]
    fn weights_move_the_model() {
        let mut data = data();
        let weight = |label: &f32| if *label == 1.0 { 50.0 } else { 1.0 };
        data.train.weights = data.train.labels.iter().map(weight).collect();
        let spec = spec("objective = 'binary:logistic'\nrounds = 2\nmax_depth = 1");
        let mean = |fitted: &Fitted| answer(fitted).values.iter().sum::<f32>() / 200.0;
        let weighted = spec.fit(&data, &mut |_| true).unwrap().unwrap();
        assert!(mean(&weighted) > mean(&train(&spec).unwrap()) + 0.2);
    }

    #[test]
    fn importance_is_shared_out_by_gain() {
        let mut data = data();
        // A third column that tells nothing.
        let rows = data.values.chunks_exact(2).enumerate();
        let values = rows
            .flat_map(|(i, row)| [row[0], (i % 3) as f32, row[1]])
            .collect();
        data = Dataset {
            train: data.train,
            validation: data.validation,
            test: data.test,
            classes: data.classes,
            ..Dataset::of_values(values, 3)
        };
        let fitted = spec(BINARY).fit(&data, &mut |_| true).unwrap().unwrap();
        let [a, noise, b] = fitted.importance[..] else {
            panic!("{:?}", fitted.importance);
        };
        assert!((a + noise + b - 1.0).abs() < 1e-9);
        assert!(
            a > 4.0 * noise && b > 4.0 * noise,
            "{:?}",
            fitted.importance
        );
        let linear = spec(&format!(
            "booster = 'gblinear'\n{}",
            BINARY.replace("subsample = 0.8", "")
        ));
        assert!(train(&linear).unwrap().importance.is_empty());
    }

    #[test]
    fn quantiles_never_cross() {
        let text = "objective = 'reg:quantileerror'\nrounds = 30\nmax_depth = 6\n\
                    quantile_alpha = [0.1, 0.5, 0.9]";
        let mut data = data();
        let noisy = |end: &usize| data.values[end * 2] + (end * 7 % 11) as f32;
        data.train.labels = data.train.ends.iter().map(noisy).collect();
        data.validation.labels = data.validation.ends.iter().map(noisy).collect();
        let fitted = spec(text).fit(&data, &mut |_| true).unwrap().unwrap();
        let answer = answer(&fitted);
        assert_eq!((answer.outputs, answer.values.len()), (3, 600));
        for row in answer.values.chunks_exact(3) {
            assert!(row[0] <= row[1] && row[1] <= row[2], "{row:?}");
        }
        let spread = answer.values.chunks_exact(3).map(|row| row[2] - row[0]);
        assert!(spread.sum::<f32>() / 200.0 > 4.0);
    }

    #[test]
    fn a_forest_is_one_round_of_many_trees() {
        let fitted = train(&spec("objective = 'binary:logistic'\nforest = 50")).unwrap();
        assert_eq!(fitted.rounds, 1);
        let right = data().test.labels.into_iter().zip(answer(&fitted).values);
        assert!(right.filter(|(y, p)| (*y == 1.0) == (*p >= 0.5)).count() > 160);
    }

    #[test]
    fn windows_are_rows_one_after_the_other() {
        let mut data = data();
        data.length = 3;
        for part in [&mut data.train, &mut data.validation, &mut data.test] {
            // The label is that of the window's first row.
            part.ends.retain(|end| *end >= 2);
            let first = |end: &usize| f32::from(u8::from(data.values[(end - 2) * 2] > 0.5));
            part.labels = part.ends.iter().map(first).collect();
        }
        let fitted = spec(BINARY).fit(&data, &mut |_| true).unwrap().unwrap();
        assert_eq!(fitted.importance.len(), 2);
        assert!(fitted.importance[0] > 0.9, "{:?}", fitted.importance);
        let model = Trained::new(library(), &fitted.bytes, 6).unwrap();
        let answer = model.predict(&data.samples(&data.test.ends)).unwrap();
        let right = data.test.labels.iter().zip(answer.values);
        assert!(right.filter(|(y, p)| (**y == 1.0) == (*p >= 0.5)).count() > 190);
    }

    #[test]
    fn threads_that_ask_together_get_what_one_gets_alone() {
        for booster in ["gbtree", "dart", "gblinear"] {
            let text = BINARY.replace("subsample = 0.8", &format!("booster = '{booster}'"));
            let fitted = train(&spec(&text)).unwrap();
            let model = Trained::new(library(), &fitted.bytes, 2).unwrap();
            let data = data();
            let alone = model.predict(&data.values).unwrap();
            std::thread::scope(|scope| {
                for part in data
                    .values
                    .chunks(200)
                    .zip(alone.values.chunks(100))
                    .cycle()
                    .take(32)
                {
                    let model = &model;
                    scope.spawn(move || assert_eq!(model.predict(part.0).unwrap().values, part.1));
                }
            });
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_no_model() {
        if library().has_cuda().unwrap() {
            return;
        }
        let error = train(&spec(&format!("{BINARY}device = 'cuda'"))).unwrap_err();
        assert_eq!(error.kind(), catalog::ErrorKind::Unsupported);
        assert!(
            error.message().contains("built for the CPU only"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("CUDA build"), "{error}");
    }

    #[test]
    fn labels_that_are_no_numbers_are_refused() {
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut data = data();
            data.train.labels[3] = wrong;
            let spec = spec("objective = 'reg:squarederror'\nrounds = 2");
            let error = spec.fit(&data, &mut |_| true).unwrap_err();
            assert!(error.message().to_lowercase().contains("label"), "{error}");
        }
    }
}
