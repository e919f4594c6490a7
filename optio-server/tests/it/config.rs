//! Configuration: which source wins, and a table of mistakes.

use std::{path::Path, time::Duration};

use insta::assert_snapshot;
use optio_core::secret::Secret;
use optio_server::config::{ClientConfig, Environment, Given, ServerConfig, Setting};

fn given(flags: &[(Setting, &str)], file: Option<&Path>) -> Given {
    Given {
        flags: flags
            .iter()
            .map(|(setting, value)| (*setting, (*value).to_owned()))
            .collect(),
        file: file.map(Path::to_owned),
    }
}

#[test]
fn flags_win_over_the_environment_that_over_the_file_that_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optio.toml");
    std::fs::write(&file, "max_concurrent = 7\nlisten = \"127.0.0.1:7\"\ndrain_seconds = \"70\"\nmax_cost_per_day = 2.5\n").unwrap();
    let environment = Environment::from([
        ("HOME", "/home/me"),
        ("OPTIO_LISTEN", "127.0.0.1:8"),
        ("OPTIO_DRAIN_SECONDS", "80"),
        ("PATH", "/bin"),
        ("SECRET", "x"),
    ]);
    let config = ServerConfig::load(
        given(&[(Setting::DrainSeconds, "90")], Some(&file)),
        &environment,
    )
    .unwrap();
    let seen = format!(
        "{} {} {:?} {:?} {} {:?} {:?}",
        config.listen,
        config.max_concurrent,
        config.drain,
        config.max_cost_per_day,
        config.data.display(),
        config.workspace_idle,
        config.passed_on
    );
    assert_snapshot!(seen);
}

#[test]
fn logs_are_kept_for_ever_unless_it_is_said_for_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let data = (Setting::Data, folder.path().to_str().unwrap());
    let kept = |days: &[(Setting, &str)]| {
        let flags = [&[data], days].concat();
        let config = ServerConfig::load(given(&flags, None), &Environment::default());
        config.unwrap().log_retention
    };
    assert_eq!(kept(&[]), None);
    assert_eq!(kept(&[(Setting::LogRetentionDays, "0")]), None);
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(kept(&[(Setting::LogRetentionDays, "7")]), Some(week));
}

#[test]
fn the_file_is_found_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("optio.toml"), "max_concurrent = 9").unwrap();
    let data = folder.path().to_str().unwrap();
    let config = ServerConfig::load(
        given(&[(Setting::Data, data)], None),
        &Environment::default(),
    )
    .unwrap();
    assert_eq!(config.max_concurrent, 9);
}

#[test]
fn all_mistakes_are_told_at_once_with_where_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("optio.toml");
    std::fs::write(
        &file,
        "max_concurent = 7\nlog_format = true\nrepo_pod_idle_ms = \"soon\"\ncolour = \"red\"\n",
    )
    .unwrap();
    let environment = Environment::from([
        ("OPTIO_LISTEN", "0.0.0.0:80"),
        ("OPTIO_MAX_COST_PER_DAY", "-1"),
        ("OPTIO_LOG", "==="),
        ("OPTIO_DATA", "here"),
    ]);
    let mistakes = ServerConfig::load(
        given(
            &[(Setting::MaxConcurrent, "0"), (Setting::LogFormat, "xml")],
            Some(&file),
        ),
        &environment,
    )
    .unwrap_err();
    assert_snapshot!(
        mistakes
            .to_string()
            .replace(folder.path().to_str().unwrap(), "[folder]")
    );
}

#[test]
fn a_file_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "listen = \"127.0.0.1:1\"\nmax_concurrent =\n").unwrap();
    let environment = Environment::from([("HOME", "/home/me")]);
    let told = |file: &Path| {
        let mistakes = ServerConfig::load(given(&[], Some(file)), &environment).unwrap_err();
        mistakes
            .to_string()
            .replace(folder.path().to_str().unwrap(), "[folder]")
    };
    let table = [broken, folder.path().join("missing.toml")]
        .map(|file| told(&file))
        .join("\n");
    assert_snapshot!(table);
}

#[test]
fn a_token_is_never_repeated_and_opens_the_port() {
    let with = |token| {
        Environment::from([
            ("HOME", "/home/me"),
            ("OPTIO_LISTEN", "0.0.0.0:80"),
            ("OPTIO_TOKEN", token),
        ])
    };
    let mistakes = ServerConfig::load(Given::default(), &with("hunter2")).unwrap_err();
    assert_snapshot!(mistakes, @"the configuration has a mistake: OPTIO_TOKEN cannot be used: expected at least 16 characters of ASCII without blanks");
    let config = ServerConfig::load(Given::default(), &with("0123456789abcdef")).unwrap();
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn the_command_line_looks_where_serve_listens() {
    let server = |variables| {
        ClientConfig::load(Given::default(), &variables).map_or_else(
            |mistakes| mistakes.to_string(),
            |config| config.server.to_string(),
        )
    };
    let rows = [
        server(Environment::from([])),
        server(Environment::from([("OPTIO_LISTEN", "127.0.0.1:9000")])),
        server(Environment::from([("OPTIO_LISTEN", "0.0.0.0:9000")])),
        server(Environment::from([(
            "OPTIO_SERVER",
            "https://optio.example/base/",
        )])),
        server(Environment::from([("OPTIO_SERVER", "optio.example")])),
    ];
    assert_snapshot!(rows.join("\n"));
}

#[test]
fn databases_and_queues_are_named_by_addresses_and_passwords_are_never_repeated() {
    let postgres = "postgres://me:hunter2@db.example/optio";
    let redis = "rediss://:hunter2@cache.example";
    let rows = [
        vec![],
        vec![("DATABASE_URL", "sqlite:///srv/optio.db")],
        vec![("DATABASE_URL", "sqlite:other.db")],
        vec![("DATABASE_URL", postgres), ("REDIS_URL", redis)],
        vec![
            ("DATABASE_URL", "mysql://me:hunter2@db.example"),
            ("OPTIO_DATABASE_URL", postgres),
            ("OPTIO_REDIS_URL", redis),
            ("OPTIO_REDIS_PREFIX", "mine"),
            ("OPTIO_DATABASE_MAX_CONNECTIONS", "40"),
            ("OPTIO_DATABASE_LOCK_TIMEOUT_SECONDS", "1"),
            ("OPTIO_MIGRATE", "refuse"),
            ("OPTIO_LEASE_SECONDS", "5"),
        ],
        vec![("DATABASE_URL", postgres)],
        vec![("REDIS_URL", redis)],
        vec![("REDIS_URL", redis), ("OPTIO_REDIS_URL", "none")],
        vec![("DATABASE_URL", "mysql://me:hunter2@db.example")],
        vec![("DATABASE_URL", "sqlite::memory:")],
        vec![("DATABASE_URL", postgres), ("REDIS_URL", "cache.example")],
        vec![
            ("DATABASE_URL", postgres),
            ("REDIS_URL", redis),
            ("OPTIO_DATABASE_SSLMODE", "perhaps"),
            ("OPTIO_DATABASE_MAX_CONNECTIONS", "1"),
            ("OPTIO_REDIS_PREFIX", "{a}"),
            ("OPTIO_MIGRATE", "yes"),
            ("OPTIO_LEASE_SECONDS", "0"),
        ],
    ];
    let told = rows.map(|variables| {
        let mut environment: Vec<(&str, &str)> = vec![("HOME", "/home/me")];
        environment.extend(variables.iter().copied());
        match ServerConfig::load(Given::default(), &environment.into_iter().collect()) {
            Ok(config) => format!(
                "{:?}, {:?}, {:?}, lease {:?}",
                config.database, config.dispatch, config.migrations, config.lease
            ),
            Err(mistakes) => mistakes.to_string(),
        }
    });
    let table = told.join("\n");
    assert!(!table.contains("hunter2"), "{table}");
    assert_snapshot!(table);
}

#[test]
fn manifests_describe_agents_without_a_line_of_rust() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("agents");
    std::fs::create_dir(&folder).unwrap();
    let manifest = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let echo = "name = \"echo\"\nprogram = \"echo\"\nprompt = \"stdin\"\nsecrets = [\"ECHO_KEY\"]\n\
                [version]\nargs = []\nremedy = \"install echo\"\n[output]\nformat = \"text\"\nfinished = \"exit-code\"\n";
    manifest("echo.toml", echo.to_owned());
    manifest("notes.md", "not a manifest".to_owned());
    let load = |flags: &[(Setting, &str)]| {
        let environment = Environment::from([
            ("OPTIO_DATA", data.path().to_str().unwrap()),
            ("ECHO_KEY", "the-key-of-echo"),
        ]);
        ServerConfig::load(given(flags, None), &environment)
    };
    let config = load(&[]).unwrap();
    let agents = optio_server::agents::agents(&config.access).unwrap();
    assert!(agents.contains_key("echo") && agents.contains_key("claude-code"));
    let told = agents["echo"].secrets();
    assert_eq!(told, [Secret::new("the-key-of-echo")]);

    manifest("a-second.toml", echo.to_owned());
    manifest(
        "codex.toml",
        echo.replace("\"echo\"\nprogram", "\"codex\"\nprogram"),
    );
    manifest("typo.toml", echo.replace("prompt =", "promt ="));
    let mistakes = load(&[]).unwrap_err().to_string();
    let mistakes = mistakes.replace(folder.to_str().unwrap(), "[folder]");
    assert_snapshot!(mistakes);

    let mistakes = load(&[(Setting::Agents, "/nonexistent/agents")]).unwrap_err();
    assert_snapshot!(mistakes.to_string());
    let mistakes = load(&[(Setting::Agents, "agents")]).unwrap_err();
    assert_snapshot!(mistakes.to_string());
}
