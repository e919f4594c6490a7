//! What is done about a database and a queue before and beside the work: migrating, examining, refusing.

use std::process::Stdio;

use insta::assert_snapshot;
use optio_store_postgres::{PostgresOptions, PostgresStore};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    fleet::Fleet,
    room::{Room, until},
    server::command,
    shared::Shared,
};

/// Runs `optio` with these servers; gives what it prints and its exit code.
async fn optio(room: &Room, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_optio"))
        .args(arguments)
        .env_clear()
        .env("PATH", &room.path)
        .env("OPTIO_DATA", room.data())
        .env("OPTIO_SERVER", "http://127.0.0.1:1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    format!("{}code {}", text, output.status.code().unwrap())
}

/// The name, state and remedy of every check of the database and the queue.
async fn examined(room: &Room, variables: &[(&str, &str)]) -> String {
    let text = optio(room, variables, &["doctor", "--json"]).await;
    let (json, code) = text.rsplit_once("code ").unwrap();
    let report: Value = serde_json::from_str(json).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let lines = checks.filter_map(|check| {
        let name = check["name"].as_str()?;
        let ours = name.starts_with("database") || name.starts_with("queue");
        let remedy = check["remedy"].as_str().unwrap_or("nothing to do");
        ours.then(|| format!("{name} {}: {remedy}\n", check["status"].as_str().unwrap()))
    });
    format!("{}code {code}", lines.collect::<String>())
}

#[tokio::test]
async fn a_database_is_migrated_once_and_by_whom_it_is_wanted() {
    let (room, shared) = (Room::new(), Shared::start());
    let (database, redis) = (shared.database_url(), shared.redis_url());
    let servers = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", redis.as_str()),
    ];
    let options = PostgresOptions::default();
    let schema = PostgresStore::schema_version(&database, &options).await;
    let newest = schema.unwrap().wanted;
    let shown = database.split('?').next().unwrap().replace("optio@", "");
    let run = async |arguments: &[&str]| {
        let text = optio(&room, &servers, arguments).await;
        let text = text.replace(&shown, "[database]");
        ["schema", "to", "with", "and"]
            .iter()
            .fold(text, |text, word| {
                text.replace(&format!("{word} {newest}"), &format!("{word} [newest]"))
            })
    };
    assert_snapshot!(run(&["migrate", "--check"]).await);
    assert_snapshot!(run(&["serve", "--listen", "127.0.0.1:0", "--migrate", "refuse"]).await);
    assert_snapshot!(run(&["migrate"]).await);
    assert_snapshot!(run(&["migrate"]).await);
    assert_snapshot!(run(&["migrate", "--check"]).await);
    let fleet = Fleet::start(&room, &shared, 1, &["--migrate", "refuse"]).await;
    fleet.stop().await;
}

#[tokio::test]
async fn the_doctor_tells_of_servers_that_will_do_and_of_those_that_will_not() {
    let (room, shared) = (Room::new(), Shared::start());
    let (database, redis) = (shared.database_url(), shared.redis_url());
    let servers = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", redis.as_str()),
    ];
    assert_snapshot!(examined(&room, &servers).await);
    optio(&room, &servers, &["migrate"]).await;
    shared
        .run("CREATE ROLE guest LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest;")
        .await;
    shared.ask_redis("CONFIG SET maxmemory 100mb");
    shared.ask_redis("CONFIG SET maxmemory-policy allkeys-lru");
    let guest = database.replace("optio@", "guest:hunter2@");
    let poor = [("DATABASE_URL", guest.as_str()), servers[1]];
    assert_snapshot!(examined(&room, &poor).await);
    let away = database.replace("%2Fp", "%2Fnowhere");
    let none = [
        ("DATABASE_URL", away.as_str()),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
    ];
    let told = optio(&room, &none, &["doctor"]).await;
    assert!(!told.contains("hunter2"), "{told}");
    assert!(told.contains("code 1"), "{told}");
    assert!(
        told.contains("check that the server is up and can be reached from here"),
        "{told}"
    );
}

#[tokio::test]
async fn the_doctor_asks_for_each_right_on_each_table() {
    let (room, shared) = (Room::new(), Shared::start());
    let (owner, redis) = (shared.database_url(), shared.redis_url());
    let told = async |user: &str| {
        let database = owner.replace("optio@", &format!("{user}@"));
        let servers = [
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", redis.as_str()),
        ];
        let checks = examined(&room, &servers).await;
        let rights = checks.lines().find(|line| line.contains("rights"));
        format!("{user}: {}", rights.unwrap_or(&checks))
    };
    PostgresStore::migrate(&owner, &PostgresOptions::default())
        .await
        .unwrap();
    let all = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public";
    shared
        .run(&format!(
            "CREATE ROLE clerk LOGIN; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO clerk; \
             CREATE ROLE blind LOGIN; GRANT {all} TO blind; REVOKE SELECT ON leases FROM blind; \
             CREATE ROLE lodger LOGIN; GRANT {all} TO lodger; GRANT CREATE ON SCHEMA public TO lodger; \
             CREATE ROLE worker LOGIN; GRANT {all} TO worker; \
             CREATE ROLE heir LOGIN IN ROLE optio;"
        ))
        .await;
    let mut all = Vec::new();
    for user in ["clerk", "blind", "lodger", "worker", "heir", "optio"] {
        all.push(told(user).await);
    }
    assert_snapshot!(all.join("\n"), @"
    clerk: database rights fail: grant SELECT, INSERT, UPDATE and DELETE on all tables of the schema to that user
    blind: database rights fail: grant SELECT, INSERT, UPDATE and DELETE on all tables of the schema to that user
    lodger: database rights warn: run `optio migrate` as the owner of the tables when there is a new version; or grant that role to this user, and CREATE on the schema
    worker: database rights warn: run `optio migrate` as the owner of the tables when there is a new version; or grant that role to this user, and CREATE on the schema
    heir: database rights ok: nothing to do
    optio: database rights ok: nothing to do
    ");
}

#[tokio::test]
async fn the_doctor_says_when_a_server_is_too_old() {
    let (room, shared) = (Room::new(), Shared::start());
    // a server that says of itself what an old one would
    shared
        .run(
            "CREATE SCHEMA old; \
             CREATE FUNCTION old.current_setting(name text) RETURNS text LANGUAGE sql AS \
             $$ SELECT CASE name WHEN 'server_version_num' THEN '130018' WHEN 'server_version' THEN '13.18' \
             ELSE pg_catalog.current_setting(name) END $$;",
        )
        .await;
    let database = shared.database_url() + "&options[search_path]=old,pg_catalog,public";
    let redis = shared.redis_url();
    let servers = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", redis.as_str()),
    ];
    let told = optio(&room, &servers, &["doctor"]).await;
    assert!(
        told.contains("is PostgreSQL 13.18") && told.contains("14 or newer is needed"),
        "{told}"
    );
    assert!(told.contains("code 1"), "{told}");
    let served = optio(&room, &servers, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(served.contains("14 or newer is needed"), "{served}");
}

#[tokio::test]
async fn servers_of_one_database_share_one_data_folder() {
    let (room, other, shared) = (Room::new(), Room::new(), Shared::start());
    let fleet = Fleet::start(&room, &shared, 1, &[]).await;
    let arguments: Vec<String> = fleet.arguments().to_vec();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let refused = command(&other, &arguments)
        .stderr(Stdio::piped())
        .output()
        .await
        .unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert_snapshot!(other.redact(words.lines().last().unwrap()));
    assert_eq!(refused.status.code(), Some(2));
    fleet.stop().await;
    // once nobody is there any more, the others may have it
    until("the other folder to be let in", || async {
        let mut started = command(&other, &arguments).spawn().unwrap();
        let ready = async {
            use tokio::io::AsyncReadExt as _;
            let mut first = [0; 5];
            started.stdout.take().unwrap().read_exact(&mut first).await
        };
        let listens = ready.await.is_ok();
        let _ = started.kill().await;
        listens.then_some(()).ok_or("refused".to_owned())
    })
    .await;
}
