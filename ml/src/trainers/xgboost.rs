//! The trainer `xgboost`: boosting round by round.
use std::sync::{Mutex, PoisonError};

use catalog::{Error, Result};

use super::{Fitted, Learner, Predictions, Predictor};
use crate::dataset::{Dataset, Part};
use crate::manifest::Manifest;
use crate::spec::{Task, XgboostSpec};
use crate::train::TrainProgress;
use crate::xgboost::{self, Booster, Library, Matrix};

impl Learner for XgboostSpec {
    fn fit(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        let library = xgboost::library()?;
        library.capture_log()?;
        let train = matrix(library, data, &data.train)?;
        // Without a validation part the rounds are shown on the test; nothing is fitted to it.
        let shown = match data.validation.len() {
            0 => &data.test,
            _ => &data.validation,
        };
        let shown = matrix(library, data, shown)?;
        let mut booster = Booster::new(library, &[&train, &shown])?;
        for (name, value) in &self.parameters {
            booster.set(name, value)?;
        }
        booster.set("validate_parameters", "true")?;
        if self.task == Task::Multiclass {
            booster.set("num_class", &data.classes.len().to_string())?;
        }
        for round in 0..self.rounds {
            booster.update(round, &train)?;
            library.refuse_unused_parameters()?;
            let line = booster.evaluate(round, &[(c"train", &train), (c"test", &shown)])?;
            if !watch(progress(round, self.rounds, &line)?) {
                return Ok(None);
            }
        }
        Ok(Some(Fitted {
            bytes: booster.to_ubjson()?,
            library: library.version(),
            rounds: self.rounds,
            parameters: self.parameters.clone(),
            importance: Vec::new(),
        }))
    }

    fn stops_early(&self) -> bool {
        false
    }
}

fn matrix<'lib>(library: &'lib Library, data: &Dataset, part: &Part) -> Result<Matrix<'lib>> {
    let columns = data.length * data.columns();
    Matrix::new(library, &data.samples(&part.ends), columns)?.with_labels(&part.labels)
}

/// A model of XGBoost that is ready to answer.
struct Boosted {
    columns: usize,
    // One prediction at a time: XGBoost does not promise more for one model.
    booster: Mutex<Booster<'static>>,
}

pub(super) fn load(manifest: &Manifest, bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    let signature = &manifest.signature;
    Ok(Box::new(Boosted {
        columns: signature.length * signature.features.len(),
        booster: Mutex::new(Booster::from_bytes(xgboost::library()?, bytes)?),
    }))
}

impl Predictor for Boosted {
    fn predict(&self, samples: &[f32]) -> Result<Predictions> {
        let rows = Matrix::new(xgboost::library()?, samples, self.columns)?;
        let booster = self.booster.lock().unwrap_or_else(PoisonError::into_inner);
        booster.predict(&rows)
    }
}

/// Reads the first metric of both parts from XGBoost's line.
fn progress(round: u32, rounds: u32, line: &str) -> Result<TrainProgress> {
    let value_of = |part: &str| {
        let field = line.split('\t').find_map(|f| f.strip_prefix(part))?;
        let (metric, value) = field.rsplit_once(':')?;
        Some((metric.to_owned(), value.trim().parse::<f64>().ok()?))
    };
    match (value_of("train-"), value_of("test-")) {
        (Some((metric, train)), Some((_, test))) => Ok(TrainProgress {
            metric,
            test,
            ..TrainProgress::loss(round + 1, rounds, train)
        }),
        _ => Err(Error::internal(format!(
            "XGBoost reported a round in a form that is not understood: {line:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Class;

    /// Rows with label 1 where the first value exceeds the second, some missing: 600 to learn
    /// from, 200 to test on.
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
            train: part(0..600),
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

    fn answer(fitted: &Fitted) -> Predictions {
        let library = xgboost::library().expect("run `make xgboost` first");
        let booster = Booster::from_bytes(library, &fitted.bytes).unwrap();
        let data = data();
        let rows = Matrix::new(library, &data.samples(&data.test.ends), 2).unwrap();
        booster.predict(&rows).unwrap()
    }

    const BINARY: &str = "objective = 'binary:logistic'\nrounds = 20\nsubsample = 0.8\n";

    #[test]
    fn a_round_is_read_from_its_line() {
        let p = progress(4, 9, "[4]\ttrain-auc:0.75\ttest-auc:-nan").unwrap();
        assert_eq!((p.round, p.rounds, p.metric.as_str()), (5, 9, "auc"));
        assert_eq!(p.train, 0.75);
        assert!(p.test.is_nan());
        assert!(progress(0, 1, "[0]").is_err());
    }

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
        let error = Booster::from_bytes(xgboost::library().unwrap(), b"{not a model").unwrap_err();
        assert_eq!(error.kind(), catalog::ErrorKind::Corrupt);
    }
}
