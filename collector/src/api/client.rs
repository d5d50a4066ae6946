//! The commands' end of the API.

use super::EventsQuery;
use crate::error::Error;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use porthole_registration::layout;
use std::future::Future;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// A collector that has not answered a question for so long does not answer at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer other than events.
const ANSWER: usize = 64 << 20;

/// Talks to the collector of one state directory.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Of this state directory.
    pub fn new(state_dir: &Path) -> Client {
        Client { socket: state_dir.join(layout::API_SOCKET) }
    }

    /// The value behind a path.
    ///
    /// # Errors
    /// When no collector answers, or with something else.
    pub fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = run(async {
            let ask = async { self.body(self.request(path).await?).await };
            tokio::time::timeout(PATIENCE, ask).await.map_err(|_| self.silent())?
        })?;
        serde_json::from_slice(&body).map_err(|e| {
            let text = "is it of another version than this command?";
            Error::new(format!("the collector at {} gave an unexpected answer ({e}); {text}", self.socket.display()))
        })
    }

    /// Calls `lines` with every batch of events as it comes, whole JSON lines, until it breaks or there are no more.
    ///
    /// # Errors
    /// When no collector answers, or when it goes away while events are followed.
    pub fn events(&self, query: &EventsQuery, lines: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        run(async {
            let uri = query.uri();
            let response = tokio::time::timeout(PATIENCE, self.request(&uri)).await.map_err(|_| self.silent())??;
            self.batches(response.into_body(), lines).await
        })
    }

    async fn batches(&self, mut body: Incoming, mut lines: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| self.broken(&e))?;
            let Some(data) = frame.data_ref() else { continue };
            rest.extend_from_slice(data);
            let Some(end) = rest.iter().rposition(|b| *b == b'\n') else { continue };
            if lines(&rest[..=end]).is_break() {
                return Ok(());
            }
            rest.drain(..=end);
        }
        Ok(())
    }

    /// The answer's head; one that refuses is an error with the collector's own words.
    async fn request(&self, path: &str) -> Result<Response<Incoming>, Error> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        tokio::spawn(connection);
        let request = Request::get(path).header(header::HOST, "porthole").body(Empty::<Bytes>::new());
        let request = request.map_err(|e| Error::new(format!("{path} is no valid request: {e}")))?;
        let response = sender.send_request(request).await.map_err(|e| self.broken(&e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let why = self.body(response).await?;
        let why = String::from_utf8_lossy(&why).trim().to_owned();
        Err(Error::new(if why.is_empty() { format!("the collector answered {status} to {path}") } else { why }))
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, Error> {
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        Ok(body.map_err(|e| self.broken(&e))?.to_bytes())
    }

    fn unreachable(&self, error: &std::io::Error) -> Error {
        let socket = self.socket.display();
        Error::new(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => format!(
                "no collector is running (tried {socket}: {error})\n\
                 start one with `porthole collector`, or name the state directory of a running one with --state-dir"
            ),
            ErrorKind::PermissionDenied => format!(
                "not allowed to talk to the collector at {socket}\n\
                 become root, or a member of the group `{}` if it exists",
                super::server::GROUP
            ),
            _ => format!("cannot reach a collector at {socket}: {error}"),
        })
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Error {
        Error::new(format!("lost the collector at {}: {error}", self.socket.display()))
    }

    fn silent(&self) -> Error {
        let text = "it may be stopped or overloaded";
        Error::new(format!("the collector at {} does not answer; {text}", self.socket.display()))
    }
}

/// Runs a conversation to its end on this thread.
fn run<T>(conversation: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(format!("cannot start: {e}")))?;
    runtime.block_on(conversation)
}
