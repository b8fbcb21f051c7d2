//! What this server can do and which types it has, as `GetSqlInfo` and `GetXdbcTypeInfo` tell it.
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity,
    SqlSupportedTransaction, XdbcDataType, XdbcDatetimeSubcode,
};
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

use crate::Engine;

/// The answers to `GetSqlInfo`.
pub(crate) fn sql_info(engine: &Engine) -> SqlInfoData {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info);
    grammar(&mut info);
    metadata(&mut info);
    limits(&mut info);
    info.append(
        SqlInfo::SqlNumericFunctions,
        engine.functions("Math Functions"),
    );
    info.append(
        SqlInfo::SqlStringFunctions,
        engine.functions("String Functions"),
    );
    info.append(
        SqlInfo::SqlDatetimeFunctions,
        engine.functions("Time and Date Functions"),
    );
    info.build()
        .expect("constant infos have the types the builder knows")
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Pumphouse");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::Transaction as i32,
    );
    info.append(SqlInfo::FlightSqlServerCancel, false);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, true);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn grammar(info: &mut SqlInfoDataBuilder) {
    let bit = |value: i32| 1 << value;
    info.append(
        SqlInfo::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32,
    );
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32,
    );
    info.append(
        SqlInfo::SqlNullOrdering,
        SqlNullOrdering::SqlNullsSortedHigh as i32,
    );
    info.append(SqlInfo::SqlKeywords, ALL_KEYWORDS);
    info.append(SqlInfo::SqlSystemFunctions, Vec::<String>::new());
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    // Grammar: minimum and core. Outer joins: limited and full. Subqueries: in comparisons,
    // EXISTS and IN. Unions: UNION and UNION ALL.
    info.append(SqlInfo::SqlSupportedGrammar, bit(0) | bit(1));
    info.append(SqlInfo::SqlAnsi92SupportedLevel, bit(0));
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, bit(1) | bit(2));
    info.append(SqlInfo::SqlSupportedSubqueries, bit(0) | bit(1) | bit(2));
    info.append(SqlInfo::SqlSupportedUnions, bit(0) | bit(1));
    info.append(SqlInfo::SqlSupportedGroupBy, bit(0) | bit(1));
    for (name, value) in [
        (SqlInfo::SqlSupportsColumnAliasing, true),
        (SqlInfo::SqlNullPlusNullIsNull, true),
        (SqlInfo::SqlSupportsTableCorrelationNames, true),
        (SqlInfo::SqlSupportsDifferentTableCorrelationNames, false),
        (SqlInfo::SqlSupportsExpressionsInOrderBy, true),
        (SqlInfo::SqlSupportsOrderByUnrelated, true),
        (SqlInfo::SqlSupportsLikeEscapeClause, true),
        (SqlInfo::SqlSupportsNonNullableColumns, true),
        (SqlInfo::SqlSupportsIntegrityEnhancementFacility, false),
        (SqlInfo::SqlCorrelatedSubqueriesSupported, true),
        (SqlInfo::SqlSelectForUpdateSupported, false),
        (SqlInfo::SqlStoredProceduresSupported, false),
        (SqlInfo::SqlNamedParametersSupported, false),
    ] {
        info.append(name, value);
    }
}

fn metadata(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlSchemaTerm, "namespace");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "branch");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    for name in [
        SqlInfo::SqlDdlCatalog,
        SqlInfo::SqlDdlSchema,
        SqlInfo::SqlDdlTable,
        SqlInfo::SqlTransactionsSupported,
        SqlInfo::SqlBatchUpdatesSupported,
    ] {
        info.append(name, true);
    }
    for name in [
        SqlInfo::SqlDataDefinitionCausesTransactionCommit,
        SqlInfo::SqlDataDefinitionsInTransactionsIgnored,
        SqlInfo::SqlSavepointsSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
        SqlInfo::SqlMaxRowSizeIncludesBlobs,
    ] {
        info.append(name, false);
    }
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    for name in [
        SqlInfo::SqlSchemasSupportedActions,
        SqlInfo::SqlCatalogsSupportedActions,
        SqlInfo::SqlSupportedPositionedCommands,
        SqlInfo::SqlDefaultTransactionIsolation,
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
    ] {
        info.append(name, 0_i32);
    }
    // Results can only be read forward.
    info.append(SqlInfo::SqlSupportedResultSetTypes, 1_i32 << 1);
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        1_i32 << 1,
    );
}

/// 0 stands for no limit, or none known.
fn limits(info: &mut SqlInfoDataBuilder) {
    for name in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(name, 0_i64);
    }
    for name in [
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxTableNameLength,
    ] {
        info.append(name, 255_i64);
    }
}

/// The answers to `GetXdbcTypeInfo`: the types a table's columns and a cast can have.
pub(crate) fn type_info() -> XdbcTypeInfoData {
    use XdbcDataType as Type;
    let mut types = XdbcTypeInfoDataBuilder::new();
    types.append(plain("boolean", Type::XdbcBit, 1));
    types.append(number("tinyint", Type::XdbcTinyint, 8));
    types.append(number("smallint", Type::XdbcSmallint, 16));
    types.append(number("integer", Type::XdbcInteger, 32));
    types.append(number("bigint", Type::XdbcBigint, 64));
    types.append(number("real", Type::XdbcReal, 24));
    types.append(number("double", Type::XdbcDouble, 53));
    types.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        fixed_prec_scale: true,
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        num_prec_radix: Some(10),
        ..number("decimal", Type::XdbcDecimal, 38)
    });
    types.append(XdbcTypeInfo {
        case_sensitive: true,
        ..quoted("varchar", Type::XdbcVarchar, i32::MAX, "'")
    });
    types.append(quoted("bytea", Type::XdbcVarbinary, i32::MAX, "X'"));
    types.append(quoted("date", Type::XdbcDate, 10, "date '"));
    types.append(quoted("time", Type::XdbcTime, 15, "time '"));
    types.append(XdbcTypeInfo {
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        maximum_scale: Some(9),
        ..quoted("timestamp", Type::XdbcTimestamp, 29, "timestamp '")
    });
    types.build().expect("constant types fit the builder")
}

fn plain(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        local_type_name: Some(name.to_owned()),
        data_type,
        sql_data_type: data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, data_type: XdbcDataType, bits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(2),
        ..plain(name, data_type, bits)
    }
}

fn quoted(name: &str, data_type: XdbcDataType, size: i32, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain(name, data_type, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_can_be_asked_for_one_by_one() {
        let types = type_info();
        assert_eq!(types.record_batch(None).unwrap().num_rows(), 13);
        let timestamp = types
            .record_batch(XdbcDataType::XdbcTimestamp as i32)
            .unwrap();
        assert_eq!(timestamp.num_rows(), 1);
    }
}
