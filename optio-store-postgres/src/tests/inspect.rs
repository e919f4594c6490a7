//! What is found out about a database before it is used.

use optio_core::ErrorKind;

use super::server::Database;
use crate::{PostgresOptions, PostgresStore, Rights, schema};

/// Makes a server say of itself what an old one would, to whoever looks into this schema first.
const SAYS_IT_IS_OLD: &str = "CREATE SCHEMA old; \
     CREATE FUNCTION old.current_setting(name text) RETURNS text LANGUAGE sql AS \
     $$ SELECT CASE name WHEN 'server_version_num' THEN '130018' WHEN 'server_version' THEN '13.18' \
     ELSE pg_catalog.current_setting(name) END $$";

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_whatever_is_asked_of_it() {
    let database = Database::create().await;
    database.run(SAYS_IT_IS_OLD).await;
    let url = database.url() + "&options[search_path]=old,pg_catalog,public";
    let options = PostgresOptions::default();
    for refused in [
        PostgresStore::connect(&url, options.clone()).await.err(),
        PostgresStore::migrate(&url, &options).await.err(),
        PostgresStore::examine(&url, &options).await.err(),
        PostgresStore::schema_version(&url, &options).await.err(),
    ] {
        let error = refused.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error
                .message()
                .ends_with("is PostgreSQL 13.18: 14 or newer is needed"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn its_own_user_has_all_rights_before_the_first_migration_and_after_it() {
    let database = Database::create().await;
    let options = PostgresOptions::default();
    let rights = async || {
        let seen = PostgresStore::examine(&database.url(), &options).await;
        seen.unwrap().rights
    };
    assert_eq!(rights().await, Rights::All);
    PostgresStore::migrate(&database.url(), &options)
        .await
        .unwrap();
    assert_eq!(rights().await, Rights::All);
}

/// Or rights on those that are missing here would not be asked for.
#[tokio::test]
async fn every_table_of_the_schema_is_known() {
    let database = Database::create().await;
    database.store().await.close().await;
    let mut connection = database.connection().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
         ORDER BY relname COLLATE \"C\"",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(tables, schema::TABLES);
}
