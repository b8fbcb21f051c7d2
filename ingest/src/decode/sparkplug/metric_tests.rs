//! Every datatype as a value, and that odd ones are refused.

use super::*;
use crate::decode::sparkplug::proto::{DataSetRow, DataSetValue, Parameter};

fn of(number: u32, wire: MetricValue) -> Result<Value<'static>, String> {
    let metric = Metric {
        value: Some(wire),
        ..Metric::default()
    };
    value(metric, Datatype::of(number)?, &mut Room::new())
}

fn bytes(of: &[u8]) -> MetricValue {
    MetricValue::Bytes(Bytes::copy_from_slice(of))
}

#[test]
fn integers_come_in_two_s_complement_of_either_size() {
    for (number, v) in [
        (1, 0xe9),
        (1, 0xffff_ffe9),
        (2, 0xffe9),
        (2, 0xffff_ffe9),
        (3, 0xffff_ffe9),
    ] {
        assert_eq!(
            of(number, MetricValue::Int(v)),
            Ok(Value::Int(-23)),
            "{number} {v:x}"
        );
    }
    let minus = 0xffff_ffff_ffff_ffe9;
    for number in [1, 2, 3, 4] {
        assert_eq!(of(number, MetricValue::Long(minus)), Ok(Value::Int(-23)));
        assert_eq!(of(number, MetricValue::Int(23)), Ok(Value::Int(23)));
    }
    for number in [5, 6, 7, 8] {
        assert_eq!(of(number, MetricValue::Int(200)), Ok(Value::Int(200)));
        assert_eq!(of(number, MetricValue::Long(200)), Ok(Value::Int(200)));
    }
    assert_eq!(
        of(8, MetricValue::Long(u64::MAX)),
        Ok(Value::UInt(u64::MAX))
    );
    for (number, v) in [(1, 300), (2, 70_000), (5, 256), (6, 65_536)] {
        assert!(of(number, MetricValue::Int(v)).is_err(), "{number} {v}");
    }
    assert!(of(3, MetricValue::Long(1 << 40)).is_err());
    assert!(of(7, MetricValue::Long(1 << 40)).is_err());
}

#[test]
fn plain_values_keep_theirs() {
    assert_eq!(of(9, MetricValue::Float(1.5)), Ok(Value::Float(1.5)));
    assert_eq!(of(10, MetricValue::Double(0.1)), Ok(Value::Float(0.1)));
    assert_eq!(of(11, MetricValue::Boolean(true)), Ok(Value::Bool(true)));
    for number in [12, 14, 15] {
        assert_eq!(
            of(number, MetricValue::Text("x".into())),
            Ok(Value::Text("x".into()))
        );
    }
    assert_eq!(
        of(13, MetricValue::Long(1_500)),
        Ok(Value::Micros(1_500_000))
    );
    assert!(of(13, MetricValue::Long(u64::MAX)).is_err());
    assert_eq!(
        of(17, bytes(b"ab")),
        Ok(Value::Bytes(b"ab".to_vec().into()))
    );
    assert!(of(9, MetricValue::Text("1.5".into())).is_err());
    for number in [0, 20, 21, 35, u32::MAX] {
        assert!(Datatype::of(number).is_err(), "{number}");
    }
    let null = Metric {
        is_null: Some(true),
        value: Some(MetricValue::Int(1)),
        ..Metric::default()
    };
    assert_eq!(
        value(null, Datatype::Int(32), &mut Room::new()),
        Ok(Value::Null)
    );
}

#[test]
fn arrays_are_packed() {
    let ints = |values: &[i64]| Ok(Value::List(values.iter().map(|v| Value::Int(*v)).collect()));
    assert_eq!(of(22, bytes(&[0xe9, 1])), ints(&[-23, 1]));
    assert_eq!(of(23, bytes(&[0xe9, 0xff])), ints(&[-23]));
    assert_eq!(of(24, bytes(&[1, 0, 0, 0])), ints(&[1]));
    assert_eq!(of(25, bytes(&[0xff; 8])), ints(&[-1]));
    assert_eq!(of(26, bytes(&[0xe9])), ints(&[0xe9]));
    assert_eq!(of(27, bytes(&[0xff, 0xff])), ints(&[65_535]));
    assert_eq!(of(28, bytes(&[0xff; 4])), ints(&[4_294_967_295]));
    assert_eq!(
        of(29, bytes(&[0xff; 8])),
        Ok(Value::List(vec![Value::UInt(u64::MAX)]))
    );
    let floats = Ok(Value::List(vec![Value::Float(1.5)]));
    assert_eq!(of(30, bytes(&1.5_f32.to_le_bytes())), floats);
    assert_eq!(of(31, bytes(&1.5_f64.to_le_bytes())), floats);
    let bits = [true, false, true].map(Value::Bool).to_vec();
    assert_eq!(
        of(32, bytes(&[3, 0, 0, 0, 0b1010_0000])),
        Ok(Value::List(bits))
    );
    let texts = ["a", "", "b"].map(|text| Value::Text(text.into())).to_vec();
    assert_eq!(of(33, bytes(b"a\0\0b\0")), Ok(Value::List(texts)));
    let times = Ok(Value::List(vec![Value::Micros(1_000)]));
    assert_eq!(of(34, bytes(&1_u64.to_le_bytes())), times);
    for number in 22..=34 {
        let empty: &[u8] = if number == 32 { &[0; 4] } else { &[] };
        assert_eq!(
            of(number, bytes(empty)),
            Ok(Value::List(vec![])),
            "{number}"
        );
    }
    let torn: [(u32, &[u8]); 6] = [
        (23, &[1]),
        (32, &[9, 0, 0, 0, 1]),
        (32, &[255, 255, 255, 255]),
        (33, b"a"),
        (33, b"\xff\0"),
        (34, &[255; 8]),
    ];
    for (number, of_bytes) in torn {
        assert!(of(number, bytes(of_bytes)).is_err(), "{number}");
    }
}

#[test]
fn what_would_fill_memory_is_refused() {
    let zeros = |count: usize| MetricValue::Bytes(vec![0; count].into());
    for (number, count) in [(22, 1_000_001), (25, 8_000_008), (33, 1_000_001)] {
        assert!(of(number, zeros(count)).unwrap_err().contains("too many"));
    }
    let mut bits = 8_000_000_u32.to_le_bytes().to_vec();
    bits.resize(1_000_004, 0);
    let refused = of(32, MetricValue::Bytes(bits.into()));
    assert!(refused.unwrap_err().contains("too many"));
    let rows = [0x22, 0].repeat(600_000);
    let refused = of(16, MetricValue::DataSet(rows.into()));
    assert!(refused.unwrap_err().contains("too many"));
    // The bound is that of all metrics of a message together.
    let mut room = Room::new();
    let mut half = || {
        let metric = Metric {
            value: Some(zeros(600_000)),
            ..Metric::default()
        };
        value(metric, Datatype::Array(Element::Int(1)), &mut room)
    };
    assert!(half().is_ok() && half().is_err());
}

#[test]
fn templates_in_templates_end() {
    let nested = |levels: usize| {
        let mut bytes = Template::default().encode_to_vec();
        for _ in 0..levels {
            let metric = Metric {
                datatype: Some(19),
                value: Some(MetricValue::Template(bytes.into())),
                ..Metric::default()
            };
            let template = Template {
                metrics: vec![metric],
                ..Template::default()
            };
            bytes = template.encode_to_vec();
        }
        of(19, MetricValue::Template(bytes.into()))
    };
    assert!(nested(31).is_ok());
    assert!(nested(200).unwrap_err().contains("too deep"));
}

#[test]
fn data_sets_and_templates_are_json() {
    let element = |value| DataSetValue { value: Some(value) };
    let row = DataSetRow {
        elements: vec![
            element(DataSetElement::Int(0xffff_ffe9)),
            DataSetValue { value: None },
        ],
    };
    let set = DataSet {
        columns: vec!["a".into(), "b".into()],
        types: vec![3, 12],
        rows: vec![row],
    };
    let json = r#"{"columns":["a","b"],"rows":[[-23,null]]}"#;
    assert_eq!(
        of(16, MetricValue::DataSet(set.encode_to_vec().into())),
        Ok(Value::Text(json.into()))
    );
    let short = DataSet {
        types: vec![3],
        ..set
    };
    assert!(of(16, MetricValue::DataSet(short.encode_to_vec().into())).is_err());

    let inner = Metric {
        name: Some("t".into()),
        datatype: Some(13),
        value: Some(MetricValue::Long(0)),
        ..Metric::default()
    };
    let untold = Metric {
        name: Some("n".into()),
        value: Some(MetricValue::Int(5)),
        ..Metric::default()
    };
    let parameter = Parameter {
        name: Some("p".into()),
        datatype: Some(12),
        value: Some(ParameterValue::Text("x".into())),
    };
    let template = Template {
        version: None,
        metrics: vec![inner, untold],
        parameters: vec![parameter],
        template_ref: Some("motor".into()),
    };
    let json = r#"{"template_ref":"motor","parameters":{"p":"x"},"metrics":{"t":"1970-01-01T00:00:00+00:00","n":5}}"#;
    assert_eq!(
        of(19, MetricValue::Template(template.encode_to_vec().into())),
        Ok(Value::Text(json.into()))
    );
}
