//! SQL views, as Iceberg's view specification describes them: a view's metadata file
//! holds its last versions, each with a schema and the SQL in one or more dialects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use catalog::{Content, Error, ErrorKind, Key, Operation, Result, Snapshot};
use chrono::Utc;
use iceberg::NamespaceIdent;
use iceberg::arrow::arrow_schema_to_schema_auto_assign_ids;
use iceberg::spec::{
    Schema, SqlViewRepresentation, VIEW_PROPERTY_REPLACE_DROP_DIALECT_ALLOWED, ViewFormatVersion,
    ViewMetadata, ViewMetadataBuilder, ViewRepresentation, ViewRepresentations, ViewVersion,
};
use uuid::Uuid;

use crate::create;
use crate::error;
use crate::lake::Lake;
use crate::names;
use crate::schema;

/// The dialect of the views that are made here.
pub const DIALECT: &str = "datafusion";

/// What a view shall be.
#[derive(Debug, Clone)]
pub struct ViewSpec {
    /// A query in this engine's SQL.
    pub sql: String,
    /// The query's columns.
    pub schema: SchemaRef,
    /// The namespace of names in `sql` that have none.
    pub default_namespace: String,
    /// Whether a view of that name is replaced; it keeps its uuid and last versions.
    pub replace: bool,
    /// Properties to set, beside those a replaced view has.
    pub properties: BTreeMap<String, String>,
}

/// A view as it is in one catalog snapshot.
#[derive(Debug, Clone)]
pub struct View {
    /// The view's name in the catalog.
    pub key: Key,
    /// The view's uuid, which stays when it is replaced.
    pub uuid: Uuid,
    /// The query, in `dialect`.
    pub sql: String,
    /// [`DIALECT`], or that of another engine when the view has no SQL in ours.
    pub dialect: String,
    /// The namespace of names in `sql` that have none.
    pub default_namespace: String,
    /// The query's columns.
    pub schema: SchemaRef,
    metadata: Arc<ViewMetadata>,
    location: String,
}

impl View {
    /// The Iceberg view metadata.
    pub fn metadata(&self) -> &ViewMetadata {
        &self.metadata
    }

    /// Where the metadata file is, as an absolute URL.
    pub fn metadata_location(&self) -> &str {
        &self.location
    }
}

impl Lake {
    /// The view `key` as it is in `snapshot`.
    ///
    /// # Errors
    /// `NotFound` naming near names, `InvalidInput` when the key holds something else.
    pub async fn view(&self, snapshot: &Snapshot, key: &Key) -> Result<View> {
        let location = match snapshot.get(key)? {
            Some(Content::View {
                metadata_location, ..
            }) => metadata_location,
            Some(other) => {
                let what = other.type_name();
                return Err(Error::invalid(format!("{key} is a {what}, not a view")));
            }
            None => return Err(not_found(snapshot, key)?),
        };
        let metadata = self.files().view(&location).await?;
        let version = metadata.current_version();
        let sql = preferred(version)
            .ok_or_else(|| Error::corrupt(format!("view {key} has no SQL at {location}")))?;
        Ok(View {
            key: key.clone(),
            uuid: metadata.uuid(),
            sql: sql.sql.clone(),
            dialect: sql.dialect.clone(),
            default_namespace: version.default_namespace().as_ref().join("."),
            schema: schema::arrow_schema(metadata.current_schema())?,
            metadata: Arc::clone(&metadata),
            location,
        })
    }

    /// A view under `key`: a new one, or a new version of the one there is.
    ///
    /// # Errors
    /// `AlreadyExists` when the key holds something that is not to be replaced,
    /// `Unsupported` for columns of types that Iceberg lacks.
    pub async fn stage_view(
        &self,
        snapshot: &Snapshot,
        key: &Key,
        spec: ViewSpec,
    ) -> Result<Operation> {
        let schema = view_schema(&spec.schema)?;
        let version = version(&spec)?;
        let (metadata, previous) = match snapshot.get(key)? {
            None => (self.new_view(key, schema, version, spec)?, None),
            Some(Content::View {
                metadata_location, ..
            }) if spec.replace => {
                let old = self.files().view(&metadata_location).await?;
                let replaced = replaced(&old, schema, version, spec);
                let replaced = replaced.map_err(error::iceberg("could not replace the view"))?;
                (replaced, Some(metadata_location))
            }
            Some(other) => return Err(taken(key, &other)),
        };
        let location = self.files().write_view(&metadata, previous.as_deref());
        Ok(Operation::Put {
            key: key.clone(),
            content: Content::View {
                uuid: metadata.uuid(),
                metadata_location: location.await?,
            },
        })
    }

    fn new_view(
        &self,
        key: &Key,
        schema: Schema,
        version: ViewVersion,
        spec: ViewSpec,
    ) -> Result<ViewMetadata> {
        let uuid = Uuid::new_v4();
        let location = create::new_location(self.store(), key, uuid);
        let properties: HashMap<_, _> = spec.properties.into_iter().collect();
        let format = ViewFormatVersion::V1;
        ViewMetadataBuilder::new(location, schema, version, format, properties)
            .and_then(|builder| builder.assign_uuid(uuid).build())
            .map(|built| built.metadata)
            .map_err(error::iceberg("could not build the view"))
    }
}

/// A further version of a view. SQL in other dialects goes with the old version, as it
/// would no longer say the same.
fn replaced(
    old: &ViewMetadata,
    schema: Schema,
    version: ViewVersion,
    spec: ViewSpec,
) -> iceberg::Result<ViewMetadata> {
    let allowed = VIEW_PROPERTY_REPLACE_DROP_DIALECT_ALLOWED.to_owned();
    let before = old.properties().get(&allowed).cloned();
    let mut properties: HashMap<_, _> = spec.properties.into_iter().collect();
    let after = properties.get(&allowed).cloned().or(before);
    properties.insert(allowed.clone(), "true".into());
    let built = ViewMetadataBuilder::new_from_metadata(old.clone())
        .set_properties(properties)?
        .set_current_version(version, schema)?
        .build()?;
    let restored = ViewMetadataBuilder::new_from_metadata(built.metadata);
    let restored = match after {
        Some(value) => restored.set_properties(HashMap::from([(allowed, value)]))?,
        None => restored.remove_properties(&[allowed]),
    };
    restored.build().map(|built| built.metadata)
}

fn version(spec: &ViewSpec) -> Result<ViewVersion> {
    // The type has no constructor, but a JSON form.
    let sql = serde_json::json!([{ "type": "sql", "sql": spec.sql, "dialect": DIALECT }]);
    let representations: ViewRepresentations = serde_json::from_value(sql)
        .map_err(|e| Error::internal("could not describe the view").with_source(e))?;
    let levels = spec.default_namespace.split('.').map(str::to_owned);
    let namespace = NamespaceIdent::from_vec(levels.collect())
        .map_err(error::iceberg("could not name the view's namespace"))?;
    let engine = [
        ("engine-name", "pumphouse"),
        ("engine-version", env!("CARGO_PKG_VERSION")),
    ];
    let summary = engine.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(ViewVersion::builder()
        .with_schema_id(0)
        .with_timestamp_ms(Utc::now().timestamp_millis())
        .with_summary(summary.into())
        .with_representations(representations)
        .with_default_namespace(namespace)
        .build())
}

/// A query may return types that no table can hold.
fn view_schema(arrow: &ArrowSchema) -> Result<Schema> {
    match schema::new_schema(arrow) {
        Err(e) if e.kind() == ErrorKind::Unsupported => {
            arrow_schema_to_schema_auto_assign_ids(arrow).map_err(|_| e)
        }
        other => other,
    }
}

/// The SQL of a version in our dialect, else in the first one.
fn preferred(version: &ViewVersion) -> Option<&SqlViewRepresentation> {
    let all = || version.representations().iter();
    let all = || all().map(|ViewRepresentation::Sql(sql)| sql);
    let ours = |sql: &&SqlViewRepresentation| sql.dialect.eq_ignore_ascii_case(DIALECT);
    all().find(ours).or(all().next())
}

fn taken(key: &Key, other: &Content) -> Error {
    let what = other.type_name();
    let error = Error::already_exists(format!("there is a {what} {key} already"));
    match other {
        Content::View { .. } => error.with_hint("replace it, or choose another name"),
        _ => error.with_hint("choose another name"),
    }
}

fn not_found(snapshot: &Snapshot, key: &Key) -> Result<Error> {
    let error = Error::not_found(format!("there is no view {key}"));
    let entries = snapshot.entries()?;
    let views = entries.iter();
    let views = views.filter(|(_, content)| matches!(content, Content::View { .. }));
    Ok(
        match names::near(key, views.map(|(key, _)| key)).as_slice() {
            [] => error.with_hint("check the name and the branch"),
            near => error.with_hint(format!("did you mean {}?", near.join(" or "))),
        },
    )
}
