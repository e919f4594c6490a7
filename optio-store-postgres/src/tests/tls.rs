//! Encrypted connections, to a server whose certificate was signed by an authority of our own.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use optio_core::{
    Error, ErrorKind,
    conformance::sample,
    store::{Commit, Store, Write},
};
use sqlx::Connection as _;
use tempfile::TempDir;

use super::server::{postgres::Postgres, private};
use crate::{PostgresOptions, PostgresStore};

const EXTENSIONS: &str = "[req]\ndistinguished_name = name\n[name]\n\
     [authority]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
     [server]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:localhost\n";

/// A server that listens on a port of this machine.
#[derive(Debug)]
struct Server {
    postgres: Postgres,
    port: String,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let settings = ["listen_addresses=localhost", &format!("port={port}")];
        let (postgres, folder) = private(&settings);
        let made = Self {
            postgres,
            port,
            folder,
        };
        fs::write(made.file("extensions"), EXTENSIONS).unwrap();
        for authority in ["ours", "other"] {
            let subject = format!("/CN={authority}");
            made.openssl(&format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj {subject} -config extensions -extensions authority \
                 -keyout {authority}.key -out {authority}.pem"
            ));
        }
        made
    }

    /// Gives the server a certificate for `localhost`, signed by the authority `ours`.
    async fn encrypt(&mut self) {
        self.openssl(
            "req -new -newkey rsa:2048 -nodes -subj /CN=database -config extensions -keyout server.key -out request.pem",
        );
        self.openssl(
            "x509 -req -in request.pem -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 \
             -extfile extensions -extensions server -out server.crt",
        );
        let data = self.file("s/data");
        let owner = fs::metadata(&data).unwrap();
        for name in ["server.key", "server.crt"] {
            let place = data.join(name);
            fs::copy(self.file(name), &place).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&place, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        self.ask("ALTER SYSTEM SET ssl = on").await;
        self.postgres.restart("INT").unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let made = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("openssl, which is in the package of that name");
        let words = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl {arguments}: {words}");
    }

    /// Asks by the server's socket. Gives the first column of the first row if that is a yes or a no.
    async fn ask(&self, sql: &'static str) -> Option<bool> {
        let mut connection = sqlx::PgConnection::connect(&self.postgres.url())
            .await
            .unwrap();
        let answer: Option<bool> = sqlx::query_scalar(sql)
            .fetch_optional(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        answer
    }

    /// An address by the port.
    fn url(&self, host: &str, mode: &str, authority: Option<&Path>) -> String {
        let trusted = authority.map_or_else(String::new, |file| {
            format!("&sslrootcert={}", file.display())
        });
        let port = &self.port;
        format!("postgres://optio@{host}:{port}/postgres?sslmode={mode}{trusted}")
    }

    async fn refusal(&self, url: &str) -> Error {
        let options = PostgresOptions::default();
        let error = PostgresStore::connect(url, options.clone()).await;
        let error = error.unwrap_err();
        let examined = PostgresStore::examine(url, &options).await.unwrap_err();
        assert_eq!(examined.message(), error.message());
        error
    }
}

const ALL_ARE_ENCRYPTED: &str = "SELECT count(*) > 1 AND bool_and(ssl) FROM pg_stat_ssl \
     JOIN pg_stat_activity USING (pid) WHERE application_name = 'optio'";

#[tokio::test]
async fn a_server_is_trusted_for_the_authority_that_has_signed_its_certificate() {
    let mut server = Server::start();
    server.encrypt().await;
    let (ours, other) = (server.file("ours.pem"), server.file("other.pem"));
    for mode in ["verify-full", "verify-ca", "require"] {
        let url = server.url("localhost", mode, Some(&ours));
        let store = PostgresStore::connect(&url, PostgresOptions::default())
            .await
            .unwrap();
        let task = match store.task(sample::task_id(1)).await {
            Ok(task) => task,
            Err(_) => sample::task(1),
        };
        store
            .commit(Commit::new().with(Write::Task(task)))
            .await
            .unwrap();
        store.task(sample::task_id(1)).await.unwrap();
        assert_eq!(server.ask(ALL_ARE_ENCRYPTED).await, Some(true), "{mode}");
        store.close().await;
    }
    let mut told = Vec::new();
    for (host, authority) in [
        ("localhost", Some(&*other)),
        ("localhost", None),
        ("127.0.0.1", Some(&*ours)),
    ] {
        let url = server.url(host, "verify-full", authority);
        let error = server.refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        told.push(error.message().to_owned());
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    the database postgres at localhost cannot be used, its certificate is not trusted (error communicating with database: invalid peer certificate: UnknownIssuer): name the file of the authority that signed its certificate in sslrootcert, and the host as the certificate does
    the database postgres at localhost cannot be used, its certificate is not trusted (error communicating with database: invalid peer certificate: UnknownIssuer): name the file of the authority that signed its certificate in sslrootcert, and the host as the certificate does
    the database postgres at 127.0.0.1 cannot be used, its certificate is not trusted (error communicating with database: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("localhost")): name the file of the authority that signed its certificate in sslrootcert, and the host as the certificate does
    "#);
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_where_that_is_asked_for() {
    let server = Server::start();
    let mut told = Vec::new();
    for mode in ["require", "verify-full"] {
        let url = server.url("localhost", mode, None);
        let error = server.refusal(&url).await;
        told.push(error.message().to_owned());
    }
    insta::assert_snapshot!(told.join("\n"), @"
    the database postgres at localhost cannot be used, no encrypted connection can be made (error occurred while attempting to establish a TLS connection: server does not support TLS): switch TLS on at the server, and check sslmode and sslrootcert in the address
    the database postgres at localhost cannot be used, no encrypted connection can be made (error occurred while attempting to establish a TLS connection: server does not support TLS): switch TLS on at the server, and check sslmode and sslrootcert in the address
    ");
}
