//! The tables of `store.redb` and the version of their layout.

use std::path::Path;

use hyperspace_protocol::primitive::Table;
use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use super::StoreError;
use super::crypt::TAG;
use super::error::At;
use super::slots::ID;

/// Single facts: `schema`, `store`.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("#meta");
/// What each slot is used for: name of the table, tag of the subject or nothing, key of the record.
pub(super) const SLOTS: TableDefinition<'_, u64, (&str, &[u8], &[u8])> = TableDefinition::new("#slots");
/// The slots of the records of each subject, by the subject's tag.
pub(super) const SUBJECTS: TableDefinition<'_, (&[u8; TAG], u64), ()> = TableDefinition::new("#subjects");

/// Version of the layout that this program writes.
pub const SCHEMA: u32 = MIGRATIONS.len() as u32 + 1;

/// Brings a database to the next schema, within the transaction that also notes the new number.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The first one brings schema 1 to 2, and so on.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// The records of one table: [`super::record`] says what is in a value.
pub(super) fn records(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// The table of a name on disk.
pub(super) fn table(name: &str) -> Option<Table> {
    Table::NAMES.iter().find(|(_, known)| *known == name).map(|(table, _)| *table)
}

/// Makes an empty database ours, with the newest schema.
pub(super) fn create(database: &Database, path: &Path, id: [u8; ID]) -> Result<(), StoreError> {
    let transaction = database.begin_write().at(path)?;
    {
        let mut meta = transaction.open_table(META).at(path)?;
        meta.insert("schema", &SCHEMA.to_le_bytes()[..]).at(path)?;
        meta.insert("store", &id[..]).at(path)?;
        transaction.open_table(SLOTS).at(path)?;
        transaction.open_table(SUBJECTS).at(path)?;
        for (table, _) in Table::NAMES {
            transaction.open_table(records(table)).at(path)?;
        }
    }
    transaction.commit().at(path)
}

/// Checks that a database belongs to the store `id` and is not newer than the last of `migrations`, and returns its schema.
pub(super) fn verify(
    database: &Database,
    path: &Path,
    id: [u8; ID],
    migrations: &[Migration],
) -> Result<u32, StoreError> {
    let foreign = |detail: &str| StoreError::Foreign { path: path.to_owned(), detail: detail.to_owned() };
    let transaction = database.begin_read().at(path)?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(StoreError::database(path, error)),
        Err(_) => return Err(foreign("it is a database of another program")),
    };
    let schema = meta.get("schema").at(path)?.and_then(|bytes| bytes.value().try_into().ok());
    let found = u32::from_le_bytes(schema.ok_or_else(|| foreign("it has no schema"))?);
    let known = migrations.len() as u32 + 1;
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    if meta.get("store").at(path)?.is_none_or(|store| store.value() != id) {
        return Err(foreign("it was made with another record.keys"));
    }
    if found == 0 {
        return Err(StoreError::corrupt(path, "it has schema 0"));
    }
    Ok(found)
}

/// Brings a database from the schema that [`verify`] found to the newest.
pub(super) fn upgrade(
    database: &Database,
    path: &Path,
    found: u32,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let steps = &migrations[found as usize - 1..];
    if steps.is_empty() {
        return Ok(());
    }
    let transaction = database.begin_write().at(path)?;
    for step in steps {
        step(&transaction).map_err(|error| StoreError::database(path, error))?;
    }
    {
        let mut meta = transaction.open_table(META).at(path)?;
        meta.insert("schema", &(migrations.len() as u32 + 1).to_le_bytes()[..]).at(path)?;
    }
    transaction.commit().at(path)
}
