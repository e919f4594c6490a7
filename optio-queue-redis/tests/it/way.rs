//! A way to the server on which nobody hangs up, and nothing arrives any more: as when a machine loses its power.

use std::future::pending;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// A way over a port of this machine. It ends with this value.
pub(crate) struct Way {
    url: String,
    /// How often it has fallen silent.
    silences: watch::Sender<u64>,
    keeper: JoinHandle<()>,
}

impl Way {
    /// To the server with this address, which is a socket.
    pub(crate) async fn to(server: &str) -> Self {
        let socket = server.trim_start_matches("redis+unix://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let silences = watch::Sender::new(0);
        let told = silences.clone();
        let keeper = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a caller");
                let server = UnixStream::connect(&socket).await.expect("the server");
                tokio::spawn(carry(client, server, told.subscribe()));
            }
        });
        Self {
            url: format!("redis://127.0.0.1:{port}"),
            silences,
            keeper,
        }
    }

    /// The address of the server at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
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

/// Carries both ways until one end hangs up, or nothing any more.
async fn carry(mut client: TcpStream, mut server: UnixStream, mut silences: watch::Receiver<u64>) {
    tokio::select! {
        biased;
        _ = silences.changed() => pending().await,
        // whoever broke it off knows
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}
