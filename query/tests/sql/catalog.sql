show tables;
describe pumps.telemetry;
describe dev.pumps.trial;
select table_catalog, table_schema, table_name, table_type from information_schema.tables where table_schema <> 'information_schema';
select table_catalog, table_name from dev.information_schema.tables where table_schema = 'pumps' order by 1, 2;
select column_name, data_type, is_nullable from information_schema.columns where table_name = 'telemetry' order by ordinal_position;
select catalog_name, schema_name from information_schema.schemata order by 1, 2;
show columns from pumps.telemetry;
