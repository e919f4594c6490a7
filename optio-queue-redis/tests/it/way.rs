//! A way to a server on which nobody hangs up: neither when nothing arrives any more, as when a machine loses its power,
//! nor when it leads to another server.

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// A way over a port of this machine. It ends with this value.
pub(crate) struct Way {
    url: String,
    /// The socket of the server at its end.
    end: Arc<Mutex<String>>,
    /// How often it has fallen silent.
    silences: watch::Sender<u64>,
    keeper: JoinHandle<()>,
}

impl Way {
    /// To the server with this address, which is a socket.
    pub(crate) async fn to(server: &str) -> Self {
        let end = Arc::new(Mutex::new(socket(server)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let silences = watch::Sender::new(0);
        let keeper = tokio::spawn({
            let (silences, end) = (silences.clone(), Arc::clone(&end));
            async move {
                loop {
                    let (client, _) = listener.accept().await.expect("a caller");
                    let socket = end.lock().expect("the end").clone();
                    let server = UnixStream::connect(socket).await.expect("the server");
                    tokio::spawn(carry(client, server, silences.subscribe()));
                }
            }
        });
        Self {
            url: format!("redis://127.0.0.1:{port}"),
            end,
            silences,
            keeper,
        }
    }

    /// The address of the server at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// New connections lead to the server with this address.
    pub(crate) fn lead_to(&self, server: &str) {
        *self.end.lock().expect("the end") = socket(server);
    }

    /// Nothing passes any more on the connections that there are. New ones are as good as they were.
    pub(crate) fn fall_silent(&self) {
        self.silences.send_modify(|silences| *silences += 1);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn socket(server: &str) -> String {
    server.trim_start_matches("redis+unix://").to_owned()
}

/// Carries both ways until one end hangs up, or nothing any more.
async fn carry(mut client: TcpStream, mut server: UnixStream, mut silences: watch::Receiver<u64>) {
    tokio::select! {
        biased;
        _ = silences.changed() => pending().await,
        // whoever broke it off knows
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}
