//! Partition values of columns that were widened since: a manifest written now holds
//! them in the wider type.

use std::borrow::Cow;

use catalog::{Error, Result};
use iceberg::spec::{
    DataFile, DataFileBuilder, Literal, PrimitiveLiteral, PrimitiveType, Struct, StructType,
};

/// `file` with partition values of the types of `partition`.
pub(super) fn promoted<'a>(
    file: &'a DataFile,
    partition: &StructType,
) -> Result<Cow<'a, DataFile>> {
    let values = file.partition().fields().iter();
    let kinds = partition.fields().iter();
    let kinds = kinds.map(|field| field.field_type.as_primitive_type());
    let wider: Vec<Option<Literal>> = values
        .zip(kinds)
        .map(|(value, kind)| Some(wider(value.as_ref()?, kind)))
        .collect();
    if wider == file.partition().fields() {
        return Ok(Cow::Borrowed(file));
    }
    with_partition(file, Struct::from_iter(wider)).map(Cow::Owned)
}

fn wider(value: &Literal, kind: Option<&PrimitiveType>) -> Literal {
    match (value, kind) {
        (Literal::Primitive(PrimitiveLiteral::Int(value)), Some(PrimitiveType::Long)) => {
            Literal::long(*value)
        }
        (Literal::Primitive(PrimitiveLiteral::Float(value)), Some(PrimitiveType::Double)) => {
            Literal::double(f64::from(value.0))
        }
        (value, _) => value.clone(),
    }
}

fn with_partition(file: &DataFile, partition: Struct) -> Result<DataFile> {
    let mut copy = DataFileBuilder::default();
    copy.content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(partition)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(file.first_row_id())
        .referenced_data_file(file.referenced_data_file())
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes());
    if let Some(order) = file.sort_order_id() {
        copy.sort_order_id(order);
    }
    copy.build()
        .map_err(|e| Error::internal(format!("could not describe a data file: {e}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iceberg::spec::{DataContentType, DataFileFormat, NestedField, Type};

    use super::*;

    #[test]
    fn values_take_the_wider_type_and_all_else_stays() {
        let field = |id, kind| {
            let field = NestedField::optional(id, format!("p{id}"), Type::Primitive(kind));
            Arc::new(field)
        };
        let types = StructType::new(vec![
            field(1, PrimitiveType::Long),
            field(2, PrimitiveType::Double),
            field(3, PrimitiveType::Date),
            field(4, PrimitiveType::Long),
        ]);
        let narrow = [
            Some(Literal::int(-7)),
            Some(Literal::float(0.5)),
            Some(Literal::date(3)),
            None,
        ];
        let file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path("file:///a.parquet".into())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter(narrow))
            .record_count(5)
            .file_size_in_bytes(50)
            .sort_order_id(1)
            .equality_ids(Some(vec![4]))
            .build()
            .unwrap();
        let promoted = promoted(&file, &types).unwrap();
        let wide = [
            Some(Literal::long(-7)),
            Some(Literal::double(0.5)),
            Some(Literal::date(3)),
            None,
        ];
        assert_eq!(promoted.partition(), &Struct::from_iter(wide));
        let back = with_partition(&promoted, file.partition().clone()).unwrap();
        assert_eq!(back, file);
        let same = super::promoted(&promoted, &types).unwrap();
        assert!(matches!(same, Cow::Borrowed(_)));
    }
}
