//! Boosting round by round.
use catalog::{Error, Result};

use super::{Booster, Library, Matrix, Predictions, log};
use crate::dataset::Part;
use crate::spec::{Task, XgboostSpec};
use crate::train::TrainProgress;

/// A trained model and what it answers on the test part.
pub(crate) struct Fit {
    /// The model as UBJSON.
    pub(crate) bytes: Vec<u8>,
    pub(crate) test: Predictions,
}

/// Trains on `train`, telling `on_round` of each round; stops with `Ok(None)`
/// when `on_round` answers false. Blocks for as long as it takes.
pub(crate) fn fit(
    library: &Library,
    spec: &XgboostSpec,
    classes: usize,
    train: &Part,
    test: &Part,
    mut on_round: impl FnMut(TrainProgress) -> bool,
) -> Result<Option<Fit>> {
    log::capture(&library.api)?;
    let train = matrix(library, train)?;
    let test = matrix(library, test)?;
    let mut booster = Booster::new(library, &[&train, &test])?;
    for (name, value) in &spec.parameters {
        booster.set(name, value)?;
    }
    booster.set("validate_parameters", "true")?;
    if spec.task == Task::Multiclass {
        booster.set("num_class", &classes.to_string())?;
    }
    for round in 0..spec.rounds {
        booster.update(round, &train)?;
        if let Some(names) = log::unused_parameters() {
            return Err(
                Error::invalid(format!("XGBoost has no use for the parameter {names}"))
                    .with_hint("check the spelling under [xgboost], or leave it out"),
            );
        }
        let line = booster.evaluate(round, &[(c"train", &train), (c"test", &test)])?;
        if !on_round(progress(round, spec.rounds, &line)?) {
            return Ok(None);
        }
    }
    Ok(Some(Fit {
        bytes: booster.to_ubjson()?,
        test: booster.predict(&test)?,
    }))
}

fn matrix<'lib>(library: &'lib Library, part: &Part) -> Result<Matrix<'lib>> {
    Matrix::new(library, &part.values, part.columns)?.with_labels(&part.labels)
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
            round: round + 1,
            rounds,
            metric,
            train,
            test,
        }),
        _ => Err(Error::internal(format!(
            "XGBoost reported a round in a form that is not understood: {line:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xgboost::library;

    /// Rows with label 1 where the first value exceeds the second, some missing.
    fn part(rows: usize, seed: u32) -> Part {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let (a, b) = (next(), next());
            values.extend([a, if row % 7 == 0 { f32::NAN } else { b }]);
            labels.push(f32::from(u8::from(a > b)));
        }
        Part {
            values,
            columns: 2,
            labels,
        }
    }

    fn spec(text: &str) -> XgboostSpec {
        toml::from_str(text).unwrap()
    }

    fn train(spec: &XgboostSpec) -> Result<Fit> {
        let library = library().expect("run `make xgboost` first");
        let fit = fit(library, spec, 2, &part(600, 1), &part(200, 2), |_| true)?;
        Ok(fit.expect("nobody asked to stop"))
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
    fn a_trained_model_is_the_same_each_time_and_after_reading_it_back() {
        let fit = train(&spec(BINARY)).unwrap();
        assert_eq!(fit.bytes, train(&spec(BINARY)).unwrap().bytes);
        let right = part(200, 2).labels.into_iter().zip(&fit.test.values);
        assert!(right.filter(|(y, p)| (*y == 1.0) == (**p >= 0.5)).count() > 170);

        let library = library().unwrap();
        let again = Booster::from_bytes(library, &fit.bytes).unwrap();
        let rows = Matrix::new(library, &part(200, 2).values, 2).unwrap();
        assert_eq!(again.predict(&rows).unwrap(), fit.test);
    }

    #[test]
    fn several_classes_answer_one_probability_each() {
        let fit = train(&spec("objective = 'multi:softprob'\nrounds = 3")).unwrap();
        assert_eq!((fit.test.outputs, fit.test.values.len()), (2, 400));
        for row in fit.test.values.chunks_exact(2) {
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
        let library = library().unwrap();
        let mut rounds = 0;
        let stopped = fit(
            library,
            &spec(BINARY),
            2,
            &part(60, 1),
            &part(20, 2),
            |_| {
                rounds += 1;
                rounds < 3
            },
        );
        assert!(stopped.unwrap().is_none());
        assert_eq!(rounds, 3);
    }

    #[test]
    fn bytes_that_are_no_model_are_corrupt() {
        let error = Booster::from_bytes(library().unwrap(), b"{not a model").unwrap_err();
        assert_eq!(error.kind(), catalog::ErrorKind::Corrupt);
    }
}
