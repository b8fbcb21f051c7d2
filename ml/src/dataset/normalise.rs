//! Scaling of features, fitted on training rows and kept in the model.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fit::{Column, fit};
use super::rows::Rows;
use super::split::{Side, rows_of};
use crate::spec::{Normalise, NormaliseSpec};

/// How a model's features are scaled before it sees them: (x - center) / scale.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// One for each feature; none when features are taken as they are.
    pub scales: Vec<Scale>,
    /// Those of single series, by the values of their group columns joined by `/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<Scale>>,
}

/// Of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// What is subtracted.
    pub center: f32,
    /// What the difference is divided by; never 0.
    pub scale: f32,
}

impl Scale {
    /// Of what is taken as it is.
    const NONE: Scale = Scale {
        center: 0.0,
        scale: 1.0,
    };
}

impl Normalisation {
    /// Fits the scales `spec` asks for to the training rows.
    ///
    /// Missing values do not count. A feature that is constant there has the scale 1, and one
    /// without any value is taken as it is. A series' constant feature is centred by its own
    /// value, and scaled as that feature is over all series.
    pub(super) fn fit(spec: &NormaliseSpec, rows: &Rows, sides: &[Side]) -> Normalisation {
        if spec.method == Normalise::None {
            return Normalisation::default();
        }
        let training = rows_of(sides, Side::Train);
        let fitted = fit(spec, rows, &training);
        let scales: Vec<Scale> = fitted.iter().map(|c| c.scale(spec.method, None)).collect();
        let mut groups = BTreeMap::new();
        if spec.per_group {
            let mut of_series: Vec<Vec<u32>> = vec![Vec::new(); rows.entities.len()];
            for row in training {
                of_series[rows.series[row as usize] as usize].push(row);
            }
            for (entity, own) in rows.entities.iter().zip(of_series) {
                if own.is_empty() {
                    continue;
                }
                let own = fit(spec, rows, &own);
                let own = own.iter().zip(&scales);
                let own = own.map(|(column, all)| column.scale(spec.method, Some(*all)));
                groups.insert(entity.clone(), own.collect());
            }
        }
        Normalisation { scales, groups }
    }

    /// The scales of the series `group`: its own where training has seen it, those of all rows
    /// otherwise. Empty when features are taken as they are.
    pub fn of(&self, group: Option<&str>) -> &[Scale] {
        let own = group.and_then(|group| self.groups.get(group));
        own.unwrap_or(&self.scales)
    }

    /// Scales `rows` in place, one row after the other, all of the series `group`.
    pub fn apply(&self, rows: &mut [f32], group: Option<&str>) {
        apply(rows, self.of(group));
    }

    /// Scales samples of `length` rows each in place; `groups` names the series of each sample,
    /// and may be empty where there are no scales of single series or none is known.
    pub fn apply_each(&self, samples: &mut [f32], length: usize, groups: &[String]) {
        if self.groups.is_empty() || groups.is_empty() || length == 0 {
            return apply(samples, &self.scales);
        }
        let width = length * self.scales.len();
        for (sample, group) in samples.chunks_exact_mut(width).zip(groups) {
            apply(sample, self.of(Some(group)));
        }
    }
}

fn apply(rows: &mut [f32], scales: &[Scale]) {
    if scales.is_empty() {
        return;
    }
    for row in rows.chunks_exact_mut(scales.len()) {
        for (value, by) in row.iter_mut().zip(scales) {
            *value = (*value - by.center) / by.scale;
        }
    }
}

impl Column {
    /// The scale of a column; `all` is that of the column over all series.
    fn scale(&self, method: Normalise, all: Option<Scale>) -> Scale {
        if self.count == 0 {
            return all.unwrap_or(Scale::NONE);
        }
        let (center, scale) = match method {
            Normalise::None => (0.0, 1.0),
            Normalise::Standard => (self.mean, self.deviation),
            Normalise::MinMax => (self.min, self.max - self.min),
            Normalise::Robust => (self.quartiles[1], self.quartiles[2] - self.quartiles[0]),
        };
        let (center, scale) = (center as f32, scale as f32);
        let usable = self.max > self.min && scale.is_normal();
        Scale {
            center,
            scale: match usable {
                true => scale,
                false => all.map_or(1.0, |all| all.scale),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(method: &str, more: &str) -> NormaliseSpec {
        toml::from_str(&format!("method = '{method}'\n{more}")).unwrap()
    }

    /// Three features of two series: the second is constant in series `a`, the third has no
    /// value. The last row is of the test.
    fn fitted(spec: &NormaliseSpec) -> Normalisation {
        let nan = f32::NAN;
        #[rustfmt::skip]
        let numbers = vec![
            1.0, 7.0, nan,
            2.0, 7.0, nan,
            nan, 7.0, nan,
            3.0, 9.0, nan,
            6.0, 8.0, nan,
            1e9, 1e9, 5.0,
        ];
        let rows = Rows {
            count: 6,
            width: 3,
            numbers,
            series: vec![0, 0, 0, 1, 1, 1],
            entities: vec!["a".into(), "b".into()],
            ..Rows::default()
        };
        let mut sides = vec![Side::Train; 5];
        sides.push(Side::Test);
        Normalisation::fit(spec, &rows, &sides)
    }

    fn scale(center: f32, scale: f32) -> Scale {
        Scale { center, scale }
    }

    #[test]
    fn methods_are_what_they_are_called() {
        let standard = fitted(&spec("standard", "")).scales;
        // Of 1, 2, 3, 6: mean 3, population deviation sqrt(14 / 4).
        assert_eq!(standard[0], scale(3.0, 3.5_f32.sqrt()));
        assert_eq!(standard[2], Scale::NONE);
        assert_eq!(fitted(&spec("min_max", "")).scales[0], scale(1.0, 5.0));
        // NumPy: percentile([1, 2, 3, 6], [25, 50, 75]) = 1.75, 2.5, 3.75.
        assert_eq!(fitted(&spec("robust", "")).scales[0], scale(2.5, 2.0));
        assert_eq!(fitted(&spec("none", "")), Normalisation::default());
    }

    #[test]
    fn one_scale_for_all_features() {
        let scales = fitted(&spec("min_max", "global = true")).scales;
        assert_eq!(scales, [scale(1.0, 8.0); 3]);
    }

    #[test]
    fn a_series_has_its_own_and_a_new_one_that_of_all() {
        let fitted = fitted(&spec("min_max", "per_group = true"));
        assert_eq!(fitted.of(Some("b"))[0], scale(3.0, 3.0));
        // Constant in this series: its own middle, the scale of all.
        assert_eq!(fitted.of(Some("a"))[1], scale(7.0, 2.0));
        assert_eq!(fitted.of(Some("new")), fitted.scales);
        let mut samples = vec![6.0, 7.0, 0.0, 6.0, 7.0, 0.0];
        fitted.apply_each(&mut samples, 1, &["b".into(), "new".into()]);
        assert_eq!(samples, [1.0, -1.0, 0.0, 1.0, 0.0, 0.0]);
        let mut windows = vec![6.0, 7.0, 0.0, 6.0, 7.0, 0.0];
        fitted.apply_each(&mut windows, 2, &["b".into()]);
        assert_eq!(windows, [1.0, -1.0, 0.0, 1.0, -1.0, 0.0]);
    }

    #[test]
    fn a_constant_feature_keeps_its_size() {
        let rows = Rows {
            count: 3,
            width: 1,
            numbers: vec![0.1, 0.1, 0.1],
            ..Rows::default()
        };
        for method in ["standard", "min_max", "robust"] {
            let fitted = Normalisation::fit(&spec(method, ""), &rows, &[Side::Train; 3]);
            assert_eq!(fitted.scales[0].scale, 1.0, "{method}");
            let mut value = [0.1];
            fitted.apply(&mut value, None);
            assert!(value[0].abs() < 1e-6, "{method}");
        }
    }
}
