//! The daemon's end of the API: one thread with a small tokio runtime.

use super::body::EventsBody;
use super::{EventsQuery, StatusReply, Versions, metrics};
use crate::detect::filter::Filter;
use crate::detect::stories::archive::Told;
use crate::detect::stories::story::{self, Story};
use crate::error::Error;
use crate::event::Event;
use crate::hub::{self, Hub};
use crate::status::{ContainerView, Status, TreeView};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, listen};
use nix::unistd::{Group, chown};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Members may talk to the collector.
pub const GROUP: &str = "porthole";

/// How long readers may take to fetch the last events when the collector stops.
const GRACE: Duration = Duration::from_secs(2);

/// What the server shows besides events; `None` while the collector is stopping.
pub trait View: Send + Sync + 'static {
    /// See [`crate::pipeline::Pipeline::status`].
    fn status(&self) -> Option<Status>;
    /// See [`crate::pipeline::Pipeline::containers`].
    fn containers(&self) -> Option<Vec<ContainerView>>;
    /// See [`crate::pipeline::Pipeline::census`].
    fn census(&self, described: bool) -> Option<Vec<TreeView>>;
    /// Those of them that a condition is true for.
    fn containers_where(&self, filter: &Filter) -> Option<Vec<ContainerView>>;
    /// Alerts that are kept, newest first.
    fn stories(&self) -> Vec<Told> {
        vec![]
    }
}

/// Where monitors find the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// Address and port.
    pub address: SocketAddr,
    /// Path of the health check.
    pub healthz: String,
}

/// The health check's path, unless the configuration has another.
pub const HEALTHZ: &str = "/healthz";

impl Web {
    fn listen(&self) -> Result<TcpListener, Error> {
        let made = TcpListener::bind(self.address).and_then(|l| l.set_nonblocking(true).map(|()| l));
        made.map_err(|e| {
            let hint = "is the port taken? see webserver.listen_port in the configuration";
            Error::new(format!("cannot listen on {}: {e} ({hint})", self.address))
        })
    }
}

/// A running server.
pub struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    view: Arc<dyn View>,
}

/// Serves on the socket of [`bind`], and what monitors ask for on the port of `web`.
///
/// # Errors
/// When a socket cannot be made.
pub fn start(socket: OwnedFd, web: Option<&Web>, hub: Arc<Hub>, view: Arc<dyn View>) -> Result<Server, Error> {
    // the port first: who finds the socket may take it that everything is served
    let web = web.map(|web| Ok::<_, Error>((web.listen()?, web.clone()))).transpose()?;
    let failed = |e: std::io::Error| Error::new(format!("cannot serve the API: {e}"));
    // from now on there is an answer; a worker before this one may have listened already
    listen(&socket, Backlog::new(1024).unwrap_or(Backlog::MAXCONN)).map_err(|e| failed(e.into()))?;
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (stop, stopped) = oneshot::channel();
    let serve = move || {
        let shared = Shared { hub, view };
        runtime.block_on(async {
            if let Some((listener, web)) = web {
                tokio::spawn(monitored(listener, monitors(&web.healthz).with_state(shared.clone())));
            }
            serve(listener, router().with_state(shared), stopped).await;
        });
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("api".into()).spawn(serve).map_err(failed)?;
    Ok(Server { stop, thread })
}

impl Server {
    /// Takes no more requests, lets the current ones end (a moment at most).
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Makes the socket at a path, replacing what an earlier collector has left there: 0660, and of the group [`GROUP`] where
/// that exists. Nobody can connect before [`start`]. The caller holds the collector's lock.
///
/// # Errors
/// When it cannot be made.
pub fn bind(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let made = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    if let Ok(Some(group)) = Group::from_name(GROUP) {
        // an unprivileged collector may not give files away: then only its own user gets in
        let _ = chown(path, None, Some(group.gid));
    }
    Ok(made)
}

async fn serve(listener: UnixListener, router: Router, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else { return };
    let (grace, graceful) = oneshot::channel();
    let stopping = async move {
        let _ = stopped.await;
        let _ = grace.send(());
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(stopping);
    let deadline = async move {
        let _ = graceful.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = server.into_future() => {}
        () = deadline => {}
    }
}

fn router() -> Router<Shared> {
    monitors(HEALTHZ)
        .route("/v1/events", get(events))
        .route("/v1/alerts", get(alerts))
        .route("/v1/alerts/{id}", get(alert))
        .route("/v1/containers", get(containers))
        .route("/v1/tree", get(tree))
        .route("/v1/status", get(status))
}

/// What monitors ask for.
fn monitors(healthz: &str) -> Router<Shared> {
    Router::new()
        .route(healthz, get(healthy))
        .route("/versions", get(|| async { Json(versions()) }))
        .route("/metrics", get(measures))
}

/// Serves monitors until the runtime ends.
async fn monitored(listener: TcpListener, router: Router) {
    if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
        let _ = axum::serve(listener, router).await;
    }
}

async fn healthy(State(shared): State<Shared>) -> Response {
    answer(shared.view.status().map(|_| serde_json::json!({ "status": "ok" })))
}

async fn measures(State(shared): State<Shared>) -> Response {
    let without = shared.without().await;
    match (shared.view.status(), shared.view.containers()) {
        (Some(status), Some(containers)) => {
            let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
            (kind, metrics::text(&StatusReply::of(status, without), &containers)).into_response()
        }
        _ => answer(None::<()>),
    }
}

/// What is asked for, and its filter; or why that cannot be.
fn understood(query: Result<Query<EventsQuery>, QueryRejection>) -> Result<(EventsQuery, Option<Filter>), String> {
    let Query(query) = query.map_err(|e| e.body_text())?;
    let filter = query.filter.as_deref().map(Filter::new).transpose().map_err(|why| format!("filter: {why}"))?;
    Ok((query, filter))
}

async fn events(State(shared): State<Shared>, query: Result<Query<EventsQuery>, QueryRejection>) -> Response {
    let (query, filter) = match understood(query) {
        Ok(asked) => asked,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let (last, follow) = (query.last(), query.follow);
    let known = || shared.view.containers().is_none_or(|all| all.iter().any(|c| query.wants_container(c)));
    let unknown = !follow && !known();
    let meant = query.clone();
    let wanted = move |event: &Event| meant.wants(event) && filter.as_ref().is_none_or(|f| f.holds(event));
    let (kept, live) = if follow {
        match shared.hub.subscribe(last, hub::QUEUE, wanted) {
            Some((kept, live)) => (kept, Some(live)),
            None => {
                let why = "the collector is stopping, or too many readers follow its events; try again later";
                return refuse(StatusCode::SERVICE_UNAVAILABLE, why.into());
            }
        }
    } else {
        (shared.hub.last(last, wanted), None)
    };
    if let Some(container) = query.container.filter(|_| unknown && kept.is_empty()) {
        let why = format!("no container {container:?}; `porthole containers` lists those that are known");
        return refuse(StatusCode::NOT_FOUND, why);
    }
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, axum::body::Body::new(EventsBody::new(kept, live))).into_response()
}

async fn alerts(State(shared): State<Shared>, query: Result<Query<EventsQuery>, QueryRejection>) -> Response {
    let (query, filter) = match understood(query) {
        Ok(asked) => asked,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let of = |c: &story::Container| {
        query.container.as_deref().is_none_or(|w| w == c.id || super::is_meant(w, &c.name, &c.full_id))
    };
    let all = shared.view.stories().into_iter();
    let meant = all.filter(|t| of(&t.story.container) && filter.as_ref().is_none_or(|f| t.holds(f)));
    let mut short: Vec<Story> = meant.take(query.last.unwrap_or(usize::MAX)).map(|t| t.story.short()).collect();
    short.reverse();
    answer(Some(short))
}

async fn alert(State(shared): State<Shared>, Path(wanted): Path<String>) -> Response {
    let wanted = wanted.to_ascii_lowercase();
    let stories = shared.view.stories();
    let found: Vec<_> = stories.iter().filter(|t| wanted.len() >= 4 && t.story.id.starts_with(&wanted)).collect();
    match found[..] {
        [told] => answer(Some(&*told.story)),
        [] => refuse(
            StatusCode::NOT_FOUND,
            format!("no alert {wanted:?} is kept; `porthole alerts list` shows those that are"),
        ),
        _ => refuse(
            StatusCode::NOT_FOUND,
            format!("{} alerts begin with {wanted:?}: give more of the number", found.len()),
        ),
    }
}

async fn containers(State(shared): State<Shared>, query: Result<Query<EventsQuery>, QueryRejection>) -> Response {
    let filter = match query.map(|Query(query)| query.filter.as_deref().map(Filter::new).transpose()) {
        Ok(Ok(filter)) => filter,
        Ok(Err(why)) => return refuse(StatusCode::BAD_REQUEST, format!("filter: {why}")),
        Err(e) => return refuse(StatusCode::BAD_REQUEST, e.body_text()),
    };
    let all = shared.census(false).await;
    let mut all: Option<Vec<ContainerView>> = all.map(|all| all.into_iter().map(|t| t.container).collect());
    if let (Some(all), Some(filter)) = (&mut all, filter) {
        let chosen = shared.view.containers_where(&filter).unwrap_or_default();
        // of those that came without porthole only what the listing shows is known
        all.retain(|c| match c.registered {
            true => chosen.iter().any(|known| known.full_id == c.full_id),
            false => filter.holds_for(&[&c.named()]),
        });
    }
    answer(all)
}

async fn tree(State(shared): State<Shared>) -> Response {
    answer(shared.census(true).await)
}

async fn status(State(shared): State<Shared>) -> Response {
    let without = shared.without().await;
    answer(shared.view.status().map(|status| StatusReply::of(status, without)))
}

impl Shared {
    /// Beside this thread, which has events to send meanwhile.
    async fn census(&self, described: bool) -> Option<Vec<TreeView>> {
        let view = self.view.clone();
        tokio::task::spawn_blocking(move || view.census(described)).await.ok().flatten()
    }

    /// How many containers run without porthole.
    async fn without(&self) -> u64 {
        let all = self.census(false).await.unwrap_or_default();
        all.iter().filter(|t| !t.container.registered).count() as u64
    }
}

fn answer(value: Option<impl serde::Serialize>) -> Response {
    match value {
        Some(value) => Json(value).into_response(),
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "the collector is stopping".into()),
    }
}

fn refuse(code: StatusCode, why: String) -> Response {
    (code, why + "\n").into_response()
}

fn versions() -> Versions {
    Versions {
        version: env!("CARGO_PKG_VERSION").into(),
        wire: porthole_common::WIRE_VERSION.into(),
        api: vec!["v1".into()],
    }
}
