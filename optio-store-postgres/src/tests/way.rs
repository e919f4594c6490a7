//! A way to the database on which a commit, or the answer to it, can be lost, with or without a sign of it.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{Arc, Mutex},
};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::server::Database;

/// What comes of the next commit. Its connection breaks, or is silent from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It never arrives.
    Question,
    /// It is carried out, and nobody hears of it.
    Answer,
    /// The same, and nothing passes any more until the way is [opened](Way::open).
    AnswerAndWay,
    /// It arrives when it is [delivered](Way::deliver).
    Late,
    /// It never arrives, and nobody hangs up.
    QuestionInSilence,
    /// It is carried out, nobody hears of it, and nobody hangs up.
    AnswerInSilence,
}

/// A way over a port of this machine. It ends with this value.
#[derive(Debug)]
pub(super) struct Way {
    url: String,
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// What is late may arrive.
    deliver: Notify,
    /// It has, and there was an answer.
    arrived: Notify,
    /// How often all connections have fallen silent.
    silences: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    losses: VecDeque<Loss>,
    closed: bool,
}

/// How a transaction of several statements is stored: by a simple query of its own.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// What one statement stores has the bodies of records in it: that of a task, or a line of its history.
const RECORDS: [&[u8]; 2] = [b"\"createdAt\":", b"\"actor\":"];

/// Whether this may store something.
fn stores(question: &[u8]) -> bool {
    let holds = |record: &[u8]| question.windows(record.len()).any(|part| part == record);
    question.ends_with(COMMIT) || RECORDS.into_iter().any(holds)
}

impl Way {
    pub(super) async fn to(database: &Database) -> Self {
        let server: PgConnectOptions = database.url().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = server.to_url_lossy();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        url.set_query(Some("sslmode=disable"));
        let shared = Arc::new(Shared::default());
        let keeper = tokio::spawn(keep(listener, server, Arc::clone(&shared)));
        Self {
            url: url.to_string(),
            shared,
            keeper,
        }
    }

    /// The address of the database at its end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn lose(&self, loss: Loss) {
        self.shared.state.lock().unwrap().losses.push_back(loss);
    }

    /// What is still to be lost.
    pub(super) fn left(&self) -> usize {
        self.shared.state.lock().unwrap().losses.len()
    }

    pub(super) fn open(&self) {
        self.shared.state.lock().unwrap().closed = false;
    }

    /// Nothing passes any more on the connections that there are, and nobody hangs up. New ones are as good as they were.
    pub(super) fn fall_silent(&self) {
        self.shared.silences.send_modify(|silences| *silences += 1);
    }
}

impl Way {
    /// Lets what is late arrive, and waits for its answer, which nobody hears.
    pub(super) async fn deliver(&self) {
        self.shared.deliver.notify_one();
        self.shared.arrived.notified().await;
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(listener: TcpListener, server: PgConnectOptions, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let closed = shared.state.lock().unwrap().closed;
        if closed {
            continue; // it is dropped
        }
        let (server, shared) = (server.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let (host, port) = (server.get_host(), server.get_port());
            match server.get_socket() {
                Some(folder) => {
                    let socket = folder.join(format!(".s.PGSQL.{port}"));
                    carry(client, UnixStream::connect(socket).await.unwrap(), &shared).await;
                }
                None => {
                    let server = TcpStream::connect((host, port)).await.unwrap();
                    carry(client, server, &shared).await;
                }
            }
        });
    }
}

/// Carries both ways until one end hangs up, or a commit is lost.
async fn carry(
    mut client: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    shared: &Shared,
) {
    let (mut asked, mut answered) = (vec![0; 8192], vec![0; 8192]);
    let mut silences = shared.silences.subscribe();
    loop {
        let passed = tokio::select! {
            _ = silences.changed() => pending().await,
            read = client.read(&mut asked) => {
                let question = &asked[..read.unwrap_or(0)];
                if stores(question) && let Some(loss) = next_loss(&shared.state) {
                    if loss == Loss::Late {
                        drop(client);
                        shared.deliver.notified().await;
                    }
                    if loss == Loss::QuestionInSilence {
                        pending().await
                    }
                    if loss != Loss::Question {
                        server.write_all(question).await.unwrap();
                        // it is over once there is an answer
                        server.read_u8().await.unwrap();
                        shared.arrived.notify_one();
                    }
                    if loss == Loss::AnswerInSilence {
                        pending().await
                    }
                    return;
                }
                !question.is_empty() && server.write_all(question).await.is_ok()
            }
            read = server.read(&mut answered) => {
                let answer = &answered[..read.unwrap_or(0)];
                !answer.is_empty() && client.write_all(answer).await.is_ok()
            }
        };
        if !passed {
            return;
        }
    }
}

fn next_loss(state: &Mutex<State>) -> Option<Loss> {
    let mut state = state.lock().unwrap();
    let loss = state.losses.pop_front()?;
    state.closed |= loss == Loss::AnswerAndWay;
    Some(loss)
}
